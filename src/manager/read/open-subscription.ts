import type { TaskKey } from "../../domain/scope.ts";
import { openStreamEnd, type StreamUntil, turnMessageOf } from "../../domain/stream-end.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isTerminal, stateNames } from "../../domain/task-state.ts";
import { outOfRange } from "../../log/load-task.ts";
import { TaskReader } from "../../stream/task-reader.ts";
import type { AccessTracker } from "../conversations/access-tracker.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import type { AnswerRoom, RoomWait } from "./answer-room.ts";
import { currentFold, loadAtInto } from "./current-task.ts";
import { shownTask } from "./shown-task.ts";
import type { OpenedStream } from "./task-subscriber.ts";

export interface SubscriptionRequest {
  readonly key: TaskKey;
  /** The stream continues after this sequence. Absent: it begins with the task as it is. */
  readonly after?: bigint | undefined;
  readonly until: StreamUntil;
  /** A task that has ended is refused with UNSUPPORTED_OPERATION (R61), or shown to its end. */
  readonly terminal: "refuse" | "show";
  readonly historyLength?: number | undefined;
  /** Where the task that the stream begins with is counted. */
  readonly room?: AnswerRoom | undefined;
  /** The stream belongs to a message that is accepted; see `RoomWait`. */
  readonly accepted?: boolean;
}

/**
 * Opens a subscription. Throws TaskError TASK_NOT_FOUND, OUT_OF_RANGE for a cursor above the head,
 * UNSUPPORTED_OPERATION, and TOO_MANY where there is no room for a large task. The signal ends its wait for room: the
 * stream is closed, by its reader or its deadline.
 *
 * Invariant: the task and the events after it join at one sequence, without a gap or an overlap. The feed is opened
 * before the fold is read, and the reader starts right after the fold's sequence. An entry that is committed in between
 * is in the log, and its wake-up has changed the feed's count, so the reader looks for it.
 */
export async function openSubscription(
  deps: ManagerDeps,
  runs: TaskRuns,
  access: AccessTracker,
  request: SubscriptionRequest,
  signal: AbortSignal,
): Promise<OpenedStream> {
  const { key, after, until, terminal, historyLength, room, accepted = false } = request;
  const wait: RoomWait = { signal, accepted };
  const feed = deps.hub.open(key);
  try {
    // Chained, so that no frame refers to the fold while the task waits for room. All that is read of the fold is read
    // in one step, since the run's fold moves on.
    const { sequence, contextId, end, shown } = await currentFold(deps, runs, key, room, wait).then((current) => {
      const { fold } = current;
      const { state } = fold.status;
      if (terminal === "refuse" && isTerminal(state)) {
        throw new TaskError(
          "UNSUPPORTED_OPERATION",
          `Task "${key.taskId}" has ended as ${stateNames[state]}; get it instead`,
          {
            metadata: { taskId: key.taskId },
          },
        );
      }
      if (after !== undefined && after > fold.sequence) throw outOfRange(key.taskId, after, fold.sequence);
      return {
        sequence: fold.sequence,
        contextId: fold.contextId,
        end: openStreamEnd(until, fold, turnMessageOf(fold)),
        // With a cursor the stream begins with events, and the task is needed for its end only.
        shown: after === undefined ? shownTask(deps, runs, key, current, { historyLength }, room, wait) : undefined,
      };
    });
    access.touch(key, contextId);
    if (shown === undefined) room?.release();
    const cursor = after ?? sequence;
    const opened = {
      kind: "task",
      reader: new TaskReader(deps.storage, feed, contextId, cursor),
      cursor,
      ...(shown !== undefined && { first: (await shown).task }),
      end,
      release: () => deps.hub.release(feed),
    } as const;
    // Every turn counts for the first message of a task. Only a stream of a later message, with a cursor in the past,
    // depends on whose turn it was at the cursor.
    if (cursor === sequence || until.kind !== "answer" || until.message <= 1n) return opened;
    return { ...opened, end: { ...opened.end, turnMessage: await turnMessageAt(deps, key, cursor, room, wait) } };
  } catch (error) {
    deps.hub.release(feed);
    throw error;
  }
}

/**
 * The sequence of the message whose turn was the last to begin at a past place of the log; 0 if there was none. The
 * room that the task takes meanwhile is given back.
 */
async function turnMessageAt(
  deps: ManagerDeps,
  key: TaskKey,
  sequence: bigint,
  room: AnswerRoom | undefined,
  wait: RoomWait,
): Promise<bigint> {
  if (sequence === 0n) return 0n;
  const loaded = await loadAtInto(room, deps, key, sequence, wait);
  room?.release();
  if (loaded === undefined) throw taskNotFound(key.taskId);
  return turnMessageOf(loaded.fold);
}
