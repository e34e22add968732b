import { toBinary } from "@bufbuild/protobuf";
import { type Message, MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { AbortReason, MessageContext } from "../../agent/message-processor.ts";
import { agentMessage } from "../../domain/decide.ts";
import { messageInContext } from "../../domain/entry.ts";
import { closed, invalidAgentResponse, TaskError } from "../../domain/task-error.ts";
import { StorageError } from "../../storage/storage-error.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import { conversationHistory, processOptions } from "../run/task-context.ts";
import type { Incoming } from "./incoming.ts";

/** How long `answerMessage` may take: its caller waits, and has nothing to watch meanwhile. */
const answerMessageMs = 10_000;

/**
 * Asks the agent for a bare answer to a message; undefined makes the message a task. `closing` ends the wait when the
 * task manager closes.
 *
 * Throws TaskError INVALID_AGENT_RESPONSE where the agent fails or takes too long, UNAVAILABLE once the task manager
 * closes, and StorageError where the storage failed and a later try may succeed. The agent's own error is only logged.
 */
export async function askForAnswer(
  deps: ManagerDeps,
  { message, options, caller }: Incoming,
  contextId: string,
  closing: AbortSignal,
): Promise<Message | undefined> {
  const { clock, processor, logger } = deps;
  const { maxEventBytes } = deps.options;
  const abort = new AbortController();
  const context: MessageContext = {
    message: messageInContext(message, contextId),
    contextId,
    options: processOptions(options),
    caller,
    signal: abort.signal,
    history: (limit) => conversationHistory(deps, caller, contextId, limit),
  };
  const { promise: stopped, reject } = Promise.withResolvers<never>();
  const stop = (reason: AbortReason, error: Error) => {
    abort.abort(reason);
    reject(error);
  };
  const cancelTimer = clock.after(answerMessageMs, () =>
    stop("timed-out", new Error(`The agent took longer than ${answerMessageMs} ms to answer a message`)),
  );
  const onClose = () => stop("draining", closed());
  closing.addEventListener("abort", onClose);
  if (closing.aborted) onClose();
  try {
    const init = await Promise.race([processor.answerMessage?.(context), stopped]);
    if (init === undefined) return undefined;
    const answer = messageInContext(agentMessage(init, stampOf(deps)), contextId);
    const bytes = toBinary(MessageSchema, answer).byteLength;
    if (bytes > maxEventBytes)
      throw invalidAgentResponse(`its message has ${bytes} bytes; the limit is ${maxEventBytes} bytes`);
    return answer;
  } catch (error) {
    logger.error({ messageId: message.messageId, err: error }, "The agent failed to answer a message");
    // Clients see what the task manager itself says. They see nothing of the agent's error, which may hold anything.
    if (error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || closing.aborted)) throw error;
    if (error instanceof StorageError && error.retryable) throw error;
    throw new TaskError("INVALID_AGENT_RESPONSE", "The agent failed", { cause: error });
  } finally {
    cancelTimer();
    closing.removeEventListener("abort", onClose);
    // A rejection after the race must not count as unhandled.
    stopped.catch(() => undefined);
  }
}
