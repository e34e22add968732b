import { setImmediate } from "node:timers/promises";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Entry } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { TaskContext } from "../../agent/message-processor.ts";
import { ArtifactIds } from "../../domain/artifact-ids.ts";
import { decideEvent, type TurnEnd } from "../../domain/decide.ts";
import type { ProcessorEvent } from "../../domain/processor-event.ts";
import { invalidAgentResponse, TaskError } from "../../domain/task-error.ts";
import { isInterrupted, isTerminal } from "../../domain/task-state.ts";
import { type ManagerDeps, stampOf } from "../manager-deps.ts";
import type { TurnHost } from "./task-context.ts";
import { TurnWatch } from "./turn-watch.ts";

/**
 * Runs the processor for one turn and appends its events, until it ends, or until the grace time after an abort is
 * over. Gives the end of the turn. Never throws; a lost writer aborts the turn with "lost".
 *
 * The agent waits for the storage (`writer.room`), never for a reader. After an abort it has `cancelGraceMs` to yield
 * last events. Then it is abandoned: its events are dropped, and nothing waits for it.
 */
export async function runTurn(
  deps: ManagerDeps,
  host: TurnHost,
  context: TaskContext,
  abort: AbortController,
): Promise<TurnEnd> {
  const { writer } = host;
  const { processor, logger } = deps;
  const fields = { taskId: context.taskId, attempt: context.attempt };
  const watch = new TurnWatch(deps, abort, () => isInterrupted(writer.tentative.status.state));
  let iterator: AsyncIterator<ProcessorEvent> | undefined;
  const ids = new ArtifactIds(writer.tentative.turn);
  let events = 0;
  let completed = false;
  try {
    iterator = processor.processMessage(context)[Symbol.asyncIterator]();
    let step = iterator.next();
    for (;;) {
      const result = await watch.untilStopped(step);
      if (result === "stopped") {
        // A later failure must not count as an unhandled rejection.
        step.catch((error: unknown) => logger.debug({ ...fields, err: error }, "An abandoned turn failed"));
        return watch.abortedEnd;
      }
      // A turn that has said COMPLETED is over, also where messages wait and its task goes on.
      if (result.done) return abort.signal.aborted && !completed ? watch.abortedEnd : { kind: "returned" };
      watch.heard();
      if (!writer.hasRoom) await writer.room();
      if (++events % eventsAtOnce === 0) await setImmediate();
      const refused = appendEvent(deps, host, ids, result.value);
      if (refused === undefined) {
        completed = "statusUpdate" in result.value && result.value.statusUpdate.state === TaskState.COMPLETED;
        step = iterator.next();
      } else {
        logger.warn({ ...fields, why: refused.message }, "The agent yielded an event that cannot be appended");
        step = iterator.throw === undefined ? Promise.reject(refused) : iterator.throw(refused);
      }
    }
  } catch (error) {
    if (abort.signal.aborted) {
      logger.debug({ ...fields, err: error }, "A turn failed after its signal was aborted");
      return watch.abortedEnd;
    }
    logger.error({ ...fields, err: error }, "A turn failed");
    // Clients never see the agent's own error. They see what the task manager says of the agent's events.
    const ours =
      error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || error.reason === "TOO_LARGE");
    return { kind: "failed", text: ours ? error.message : "The agent failed" };
  } finally {
    watch.end();
    // Runs the `finally` blocks of a generator. If they hang, only this promise hangs.
    Promise.resolve(iterator?.return?.()).catch((error: unknown) =>
      logger.debug({ ...fields, err: error }, "The clean-up of a turn failed"),
    );
  }
}

/**
 * The number of events after which a turn lets the event loop run. An agent whose events are appended waits for the
 * storage anyway. An agent that yields nothing but WORKING, which changes nothing, would otherwise block the process,
 * and with it its own time limits.
 */
const eventsAtOnce = 256;

/**
 * An agent without types may yield anything. What is not an event is refused like an event that breaks the contract.
 */
function entriesOf(
  deps: ManagerDeps,
  writer: TurnHost["writer"],
  ids: ArtifactIds,
  event: ProcessorEvent,
): readonly Entry[] {
  try {
    return decideEvent(writer.tentative, event, stampOf(deps), ids);
  } catch (error) {
    throw error instanceof TaskError ? error : invalidAgentResponse("what it yielded is not an event", error);
  }
}

/** Appends an event. Gives the error that the agent gets if it is refused. Throws if the writer is lost. */
function appendEvent(
  deps: ManagerDeps,
  host: TurnHost,
  ids: ArtifactIds,
  event: ProcessorEvent,
): TaskError | undefined {
  const { writer } = host;
  try {
    if (isTerminal(writer.tentative.status.state)) throw invalidAgentResponse("nothing may follow a terminal status");
    const entries = entriesOf(deps, writer, ids, event);
    if (entries.length > 0) {
      writer.append(entries, "bounded");
      host.touch();
    }
    return undefined;
  } catch (error) {
    if (error instanceof TaskError && (error.reason === "INVALID_AGENT_RESPONSE" || error.reason === "TOO_LARGE"))
      return error;
    throw error;
  }
}
