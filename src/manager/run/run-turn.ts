import { setImmediate } from "node:timers/promises";
import type { Entry } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { TaskContext } from "../../agent/message-processor.ts";
import { decideEvent, invalidAgentResponse, type TurnEnd } from "../../domain/decide.ts";
import type { ProcessorEvent } from "../../domain/processor-event.ts";
import { TaskError } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import type { TaskWriter } from "../../log/task-writer.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import { TurnWatch } from "./turn-watch.ts";

/**
 * Runs the processor for one turn and appends what it yields, until it ends, or is aborted and the grace time is over.
 * Says how it ended. Never throws; a lost writer ends it as aborted with "lost".
 *
 * The agent waits for the storage (`writer.room`), never for a reader. After an abort it has `cancelGraceMs` to yield
 * last events; then it is left behind: nothing it yields is taken any more, and nobody waits for it.
 */
export async function runTurn(
  deps: ManagerDeps,
  writer: TaskWriter,
  context: TaskContext,
  abort: AbortController,
): Promise<TurnEnd> {
  const { processor, logger } = deps;
  const fields = { taskId: context.taskId, attempt: context.attempt };
  const watch = new TurnWatch(deps, abort, () => isInterrupted(writer.tentative.status.state));
  let iterator: AsyncIterator<ProcessorEvent> | undefined;
  let events = 0;
  try {
    iterator = processor.processMessage(context)[Symbol.asyncIterator]();
    let step = iterator.next();
    for (;;) {
      const result = await watch.untilStopped(step);
      if (result === "stopped") {
        // It may still fail later, and nobody is there to hear it.
        step.catch((error: unknown) =>
          logger.debug({ ...fields, err: error }, "A turn that was left behind failed afterwards"),
        );
        return watch.abortedEnd;
      }
      if (result.done) return abort.signal.aborted ? watch.abortedEnd : { kind: "returned" };
      watch.heard();
      if (!writer.hasRoom) await writer.room();
      if (++events % eventsAtOnce === 0) await setImmediate();
      const refused = appendEvent(deps, writer, result.value);
      if (refused === undefined) {
        step = iterator.next();
      } else {
        logger.warn({ ...fields, why: refused.message }, "The agent yielded what can't be appended");
        step = iterator.throw === undefined ? Promise.reject(refused) : iterator.throw(refused);
      }
    }
  } catch (error) {
    if (abort.signal.aborted) {
      logger.debug({ ...fields, err: error }, "A turn ended with an error after it was told to stop");
      return watch.abortedEnd;
    }
    logger.error({ ...fields, err: error }, "A turn failed");
    // The cause is never sent (api.d.ts), but for what the task manager itself said of the agent's events.
    const ours =
      error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || error.reason === "TOO_LARGE");
    return { kind: "failed", text: ours ? error.message : "The agent failed" };
  } finally {
    watch.end();
    // Lets a generator's `finally` blocks run; where those hang, so does only this promise.
    Promise.resolve(iterator?.return?.()).catch((error: unknown) =>
      logger.debug({ ...fields, err: error }, "A turn's clean-up failed"),
    );
  }
}

/**
 * Events of one agent before everybody else gets a turn. What is appended makes the agent wait for the storage anyway;
 * but one that yields WORKING over and over, which says nothing new, would otherwise keep the process for itself, its
 * own time limits included.
 */
const eventsAtOnce = 256;

/** An agent without types may yield anything: what isn't even an event is refused like one that breaks the contract. */
function entriesOf(deps: ManagerDeps, writer: TaskWriter, event: ProcessorEvent): readonly Entry[] {
  try {
    return decideEvent(writer.tentative, event, stampOf(deps));
  } catch (error) {
    throw error instanceof TaskError ? error : invalidAgentResponse("this is no event", error);
  }
}

/** Appends an event, or says why it can't be: that goes back to the agent. A lost writer throws. */
function appendEvent(deps: ManagerDeps, writer: TaskWriter, event: ProcessorEvent): TaskError | undefined {
  try {
    if (isTerminal(writer.tentative.status.state)) throw invalidAgentResponse("nothing may follow a terminal status");
    const entries = entriesOf(deps, writer, event);
    if (entries.length > 0) writer.append(entries, "bounded");
    return undefined;
  } catch (error) {
    if (error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || error.reason === "TOO_LARGE"))
      return error;
    throw error;
  }
}
