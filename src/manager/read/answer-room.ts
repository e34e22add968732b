import { create } from "@bufbuild/protobuf";
import { type Task, TaskSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type TaskAt, type TaskFold, type TaskView, taskAt } from "../../domain/fold.ts";
import { type TaskKey, taskKeyString } from "../../domain/scope.ts";

/** A task whose log has more bytes takes room before it is loaded. A smaller one costs little more than its call. */
export const roomyBytes = 64 * 1024;

/** What an entry of a log takes as objects, besides its bytes. Measured with parts of 100 bytes. */
const entryObjectBytes = 400;

/** What all answers that show one task at one sequence share while they are under way. */
export interface SharedAnswer {
  /** The load of the task, under way or done. */
  load: Promise<unknown> | undefined;
  /** The task in the views that were asked for, by sequence and length of the history. */
  readonly views: Map<string, Task>;
}

/** Where the bytes of an answer are counted until its client has them. */
export interface AnswerRoom {
  /**
   * Takes room for the bytes of a task, which answers with the same `source` share. The result waits for room. It
   * rejects with TaskError TOO_MANY if there is none for too long. Who made the room gives back what it took.
   */
  share(source: string, bytes: number): SharedAnswer | Promise<SharedAnswer>;
  /** Gives back what it took, before the answer ends. */
  release(): void;
}

/** What a loaded task takes in memory, about. Its encodings come on top. */
export function heldBytes(logBytes: number, head: bigint): number {
  return logBytes + Number(head) * entryObjectBytes;
}

export function sourceOf(key: TaskKey, sequence: bigint): string {
  return `${taskKeyString(key)}/${sequence}`;
}

/**
 * The task of a fold in an answer. A large one is shared with the other answers at its sequence. Everything that is
 * read of the fold is read before the first await, since the fold of a run moves on.
 */
export function roomyTaskAt(
  room: AnswerRoom | undefined,
  key: TaskKey,
  { fold, logBytes }: { readonly fold: TaskFold; readonly logBytes: number },
  view: TaskView = {},
): TaskAt | Promise<TaskAt> {
  if (room === undefined || logBytes <= roomyBytes) return taskAt(fold, view);
  const { sequence } = fold;
  const { historyLength = fold.history.length, artifacts = true } = view;
  const name = `${sequence}/${Math.min(historyLength, fold.history.length)}/${artifacts}`;
  const shared = room.share(sourceOf(key, sequence), heldBytes(logBytes, sequence));
  if (!(shared instanceof Promise)) return { task: viewIn(shared, name, () => taskAt(fold, view).task), sequence };
  const { task } = taskAt(fold, view);
  return shared.then((held) => ({ task: viewIn(held, name, () => task), sequence }));
}

/** The caller owns the task, and nothing in it. */
function viewIn({ views }: SharedAnswer, name: string, make: () => Task): Task {
  const task = views.get(name) ?? make();
  views.set(name, task);
  return Object.assign(create(TaskSchema), task);
}
