import { decideCreate } from "../../domain/decide.ts";
import type { TaskKey } from "../../domain/scope.ts";
import { closed, messageIdReused } from "../../domain/task-error.ts";
import { createTask } from "../../log/create-task.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import type { Accepted } from "./accepted.ts";
import type { Deduplication } from "./deduplicate.ts";
import type { Incoming } from "./incoming.ts";

/** Where a new message goes: the task that it becomes, and the conversation of that task. */
export interface NewTask {
  readonly taskId: string;
  readonly contextId: string;
  /** Keeps the task's place in the run queue beyond this call; see `Reservation.keep`. */
  readonly keepPlace: () => () => void;
}

/**
 * Makes a message the beginning of a task, and runs it. One append makes the task, its conversation and the message's
 * claim durable. Where an earlier send of the message holds the claim, gives what that send got.
 *
 * A claim that led to nothing is looked at twice, for the reason that `Deduplication.claim` states; then its task is
 * created here, under the id that it names.
 *
 * Invariant: once the append was sent, the task has a run here, or is looked for, or is known not to exist by this
 * call.
 */
export async function createFromMessage(
  deps: ManagerDeps,
  runs: TaskRuns,
  deduplication: Deduplication,
  incoming: Incoming,
  { taskId, contextId, keepPlace }: NewTask,
  abandoned?: string,
): Promise<Accepted> {
  // A server that was replaced, or that goes down, begins no further append: its claim may have been answered late.
  if (runs.stopped) throw closed();
  const { storage, clock, newId, replica, messageClock } = deps;
  const { scope, message, options, caller } = incoming;
  const key: TaskKey = { ...scope, taskId };
  const claim = incoming.claim?.taskId === taskId ? incoming.claim : incoming.claim && { ...incoming.claim, taskId };
  const entry = decideCreate(contextId, message, options, { newId, nowMs: messageClock.next(scope, contextId) });
  const owner = { replica, fence: 1n };
  const result = await createTask(storage, key, entry, { contextId, owner, clock, newId, ...(claim && { claim }) });
  switch (result.outcome) {
    case "created":
      try {
        messageClock.note(scope, contextId, Number(entry.timeMs));
        if (result.otherContent) deduplication.warnOfReuse(incoming);
        await runs.started(key, result.fold, result.batch, result.created, caller);
      } catch (error) {
        // The task exists, and nobody runs it.
        runs.lookFor(key, { caller, settled: Promise.resolve(), known: keepPlace() });
        throw error;
      }
      return { kind: "task", key, sequence: 1n, isNew: true };
    case "unknown":
      runs.lookFor(key, { caller, settled: result.settled, known: keepPlace() });
      throw result.error;
    case "reused":
      throw messageIdReused(message);
    case "exists":
      return (await deduplication.join(scope, { taskId })) ?? { kind: "task", key, sequence: 1n, isNew: false };
    case "duplicate": {
      const joined = await deduplication.join(scope, result.claim);
      if (joined !== undefined) return joined;
      const held = result.claim.taskId;
      const again = (id: string, seen?: string) =>
        createFromMessage(deps, runs, deduplication, incoming, { taskId: id, contextId, keepPlace }, seen);
      return held === abandoned ? again(held) : again(taskId, held);
    }
    default:
      return result satisfies never;
  }
}
