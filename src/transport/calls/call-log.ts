import type { ConnectError, HandlerContext } from "@connectrpc/connect";
import type { Logger } from "../../runtime/logger.ts";
import { codeTable } from "../errors/errors.ts";
import { CallContext } from "./call-context.ts";
import { exchangeKey } from "./exchange.ts";

const ignore = () => {};

/**
 * An observer of calls that writes one line at the end of each: what was called, how it ended, how long it took, and
 * how much was read and written. Names are those of OpenTelemetry's semantic conventions where one fits. Nothing of the
 * content is in it: no text, no metadata, no header. Below the level "info" nothing is built for a call.
 */
export function logCalls(logger: Logger): (context: HandlerContext) => (error: ConnectError | undefined) => void {
  return (context) => {
    if (logger.isLevelEnabled?.("info") === false) return ignore;
    const begunMs = performance.now();
    const exchange = context instanceof CallContext ? context.exchange : context.values.get(exchangeKey);
    if (exchange !== undefined) exchange.isLogged = true;
    return (error) => {
      const { method, protocolName } = context;
      // The calls of a batch share the exchange and run one after the other: the next one names its own.
      const called = exchange?.called;
      if (exchange !== undefined) exchange.called = undefined;
      logger.info(
        {
          "rpc.system.name": protocolName,
          "rpc.method": `${method.parent.typeName}/${method.name}`,
          "rpc.response.status_code": error === undefined ? "OK" : codeTable[error.code].status,
          durationMs: Math.round((performance.now() - begunMs) * 10) / 10,
          taskId: shown(called?.taskId),
          messageId: shown(called?.messageId),
          "gen_ai.conversation.id": shown(called?.contextId),
          "http.request.body.size": exchange?.requestBytes,
          "http.response.body.size": exchange?.response.bodyBytes,
        },
        "A call ended",
      );
    };
  };
}

/** An id, if it is a UUID. Others are their caller's choice and may say anything. */
function shown(id: string | undefined): string | undefined {
  return id !== undefined && uuid.test(id) ? id : undefined;
}

const uuid = /^[\da-f]{8}(?:-[\da-f]{4}){3}-[\da-f]{12}$/i;
