import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type TaskFold, taskOf } from "../../domain/fold.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { isTerminal, stateNames } from "../../domain/task-state.ts";
import { loadTaskAt, outOfRange } from "../../log/load-task.ts";
import { TaskReader } from "../../stream/task-reader.ts";
import type { AccessTracker } from "../conversations/access-tracker.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import { currentFold } from "./current-task.ts";
import type { OpenedStream } from "./task-subscriber.ts";

export interface SubscriptionRequest {
  readonly key: TaskKey;
  /** Go on after this sequence; absent: begin with the task as it is. */
  readonly after?: bigint | undefined;
  /** See `Opening.endsAtInput`. 0n: at the next INPUT_REQUIRED. */
  readonly endsAtInput?: bigint | undefined;
  /** A task that has ended: refused with UNSUPPORTED_OPERATION (R61), or shown to its end. */
  readonly terminal: "refuse" | "show";
  readonly historyLength?: number | undefined;
}

/**
 * Begins a subscription. Snapshot and tail join at one sequence: the feed is opened first, the fold read next, and the
 * reader goes on right after the fold's sequence; whatever comes between is in the log, and the feed's count of
 * wake-ups tells the reader to look. Throws TaskError TASK_NOT_FOUND, OUT_OF_RANGE for a cursor above the head,
 * UNSUPPORTED_OPERATION.
 */
export async function openSubscription(
  deps: ManagerDeps,
  runs: TaskRuns,
  access: AccessTracker,
  request: SubscriptionRequest,
): Promise<OpenedStream> {
  const { key, after, endsAtInput, terminal, historyLength } = request;
  const feed = deps.hub.open(key);
  try {
    const fold = await currentFold(deps, runs, key);
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
    access.touch(key, fold.contextId);
    const cursor = after ?? fold.sequence;
    const opening: OpenedStream = {
      kind: "task",
      reader: new TaskReader(deps.storage, feed, fold.contextId, cursor),
      cursor,
      ...(after === undefined && { first: taskOf(fold, { historyLength }) }),
      endsAt: isTerminal(state) || hasAsked(fold, endsAtInput) ? fold.sequence : undefined,
      endsAtInput,
      turnMessage: fold.turn?.message.sequence ?? 0n,
      release: () => deps.hub.release(feed),
    };
    // Of the first message, and of none in particular, every turn is one: only for a further message does it matter
    // whose turn it was at the cursor.
    if (cursor === fold.sequence || endsAtInput === undefined || endsAtInput <= 1n) return opening;
    return { ...opening, turnMessage: await turnMessageAt(deps, key, cursor) };
  } catch (error) {
    deps.hub.release(feed);
    throw error;
  }
}

/** The sequence of the message that was being answered at a past place of the log; 0 if none was. */
async function turnMessageAt({ storage }: ManagerDeps, key: TaskKey, sequence: bigint): Promise<bigint> {
  if (sequence === 0n) return 0n;
  const loaded = await loadTaskAt(storage, key, sequence);
  if (loaded === undefined) throw taskNotFound(key.taskId);
  return loaded.fold.turn?.message.sequence ?? 0n;
}

/**
 * The stream of a send ends with what there is where its turn has asked for input already, and the cursor is past that;
 * a plain subscription waits for the next time.
 */
function hasAsked(fold: TaskFold, endsAtInput: bigint | undefined): boolean {
  if (endsAtInput === undefined || endsAtInput === 0n) return false;
  return fold.status.state === TaskState.INPUT_REQUIRED && (fold.turn?.message.sequence ?? 0n) >= endsAtInput;
}
