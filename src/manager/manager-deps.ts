import type { MessageProcessor } from "../agent/message-processor.ts";
import type { Stamp } from "../domain/decide.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import type { WallClock } from "../runtime/wall-clock.ts";
import type { Storage } from "../storage/storage.ts";
import type { TaskHub } from "../stream/task-hub.ts";
import type { MessageClock } from "./conversations/message-clock.ts";
import type { ManagerOptions } from "./options.ts";

/** What the parts of the manager share. */
export interface ManagerDeps {
  readonly storage: Storage;
  readonly processor: MessageProcessor;
  readonly hub: TaskHub;
  readonly options: Required<ManagerOptions>;
  /** Its `now` doesn't go back when the wall clock is set back a little. */
  readonly clock: Clock;
  /** The wall clock as it is, with its jumps. */
  readonly wallClock: WallClock;
  readonly messageClock: MessageClock;
  readonly newId: () => string;
  readonly logger: Logger;
  /** The name of this process in headers and takeovers. Every start has a new one. */
  readonly replica: string;
}

export function stampOf({ clock, newId }: Pick<ManagerDeps, "clock" | "newId">): Stamp {
  return { nowMs: clock.now(), newId };
}
