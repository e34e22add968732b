import type { Binary } from "mongodb";
import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import { nameOf } from "../keys.ts";
import { hintsMax } from "../limits.ts";

/**
 * What this process last saw of a task's record. An append uses it to build its update. The update's condition checks
 * all of it, so a wrong hint only costs a read.
 */
export interface TaskHint {
  readonly log: Binary;
  readonly conversation: Binary;
  readonly incarnation: Binary;
  readonly contextId: string;
  readonly tailBytes: number;
  readonly state: TaskState;
  /** The record's expiry. Undefined: never. */
  readonly expireAt: Date | undefined;
  /** The sequence of the message that the record points to as the last one. 0 if it points to none. */
  readonly lastSequence: number;
  /** When this process last saw the conversation live and pinned, by its monotonic clock. */
  readonly confirmedAt: number;
}

/** The hints of the most recently used tasks. */
export class TaskHints {
  readonly #hints = new Map<string, TaskHint>();

  get(task: Binary): TaskHint | undefined {
    const name = nameOf(task);
    const hint = this.#hints.get(name);
    if (hint !== undefined) {
      this.#hints.delete(name);
      this.#hints.set(name, hint);
    }
    return hint;
  }

  set(task: Binary, hint: TaskHint): void {
    const name = nameOf(task);
    this.#hints.delete(name);
    this.#hints.set(name, hint);
    if (this.#hints.size > hintsMax) {
      this.#hints.delete(this.#hints.keys().next().value as string);
    }
  }

  delete(task: Binary): void {
    this.#hints.delete(nameOf(task));
  }
}
