import type { Task } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
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

/** How an answer waits for room. */
export interface RoomWait {
  /** Ends the wait, which then rejects with the signal's reason. */
  readonly signal?: AbortSignal | undefined;
  /**
   * What the call asked for is done already: its message is in the log, or its task is canceled. A refusal would tell
   * the client the opposite. So the answer waits as it waits for an agent, until its call ends. It is never let pass
   * without room, and never shortened: a task without its artifacts looks like one that made none.
   */
  readonly accepted?: boolean;
}

/** Where the bytes of an answer are counted until its client has them. */
export interface AnswerRoom {
  /**
   * Takes room for the bytes of a task, which answers with the same `source` share. The result waits for room. It
   * rejects with TaskError TOO_MANY if there is none for too long, unless the call is accepted, and if the exchange has
   * ended. Who made the room gives back what it took.
   *
   * An answer holds one source at a time. It releases that before it asks for another one: two would wait for each
   * other.
   */
  share(source: string, bytes: number, wait?: RoomWait): SharedAnswer | Promise<SharedAnswer>;
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
