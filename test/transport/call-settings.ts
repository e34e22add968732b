import { systemClock } from "../../src/runtime/clock.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { defaultHooks } from "../../src/transport/calls/call-hooks.ts";
import type { CallSettings } from "../../src/transport/calls/call-settings.ts";
import { OpenExchanges } from "../../src/transport/calls/open-exchanges.ts";

/** Settings for a binding without a server: every call is admitted. */
export function testSettings(settings: Partial<CallSettings> = {}): CallSettings {
  return {
    admit: () => ({ extensions: new Set() }),
    hooks: defaultHooks(),
    openExchanges: new OpenExchanges(settings.shutdownSignal),
    logger: silentLogger,
    clock: systemClock,
    bindings: new Set(),
    readBytesMax: 1_000,
    heartbeatMs: 60_000,
    ...settings,
  };
}
