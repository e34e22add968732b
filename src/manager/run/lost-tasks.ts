import { type Caller, type TaskKey, taskKeyString } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import { isTerminal } from "../../domain/task-state.ts";
import { appendBackoff } from "../../log/limits.ts";
import { backoffMs } from "../../runtime/backoff.ts";
import { StorageError } from "../../storage/storage-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRun } from "./task-run.ts";

/** Looks that run at once: few, so that a storage that comes back is not met by all of them together. */
const looksAtOnce = 20;

/**
 * After so many looks without a task, a creation counts as failed. The waits between them are 60 s or longer in all: a
 * write arrives later than that only if its call is still open, and then the looks go on.
 */
const absentLooksMax = 36;

/**
 * A turn that ends again and again by an error which no later try can help is not run again after so many times, also
 * by an agent that resumes.
 */
const defectsMax = 3;

/** A creation with an unknown outcome. */
export interface UnknownCreation {
  readonly caller: Caller;
  /** The calls that may still create the task. Never rejects. */
  readonly settled: Promise<unknown>;
  /** Called once, when the outcome is known. */
  readonly known: () => void;
}

interface Lost {
  readonly key: TaskKey;
  readonly id: string;
  readonly creation: UnknownCreation | undefined;
  /** Calls that may still create the task. */
  open: number;
  /** The run was lost to an error that is not the storage's. */
  defect: boolean;
  /** The task was lost once more during the present look. */
  again: boolean;
  looks: number;
  absent: number;
  cancel: () => void;
}

/**
 * The tasks that may be this replica's and that it does not run: those whose run was lost to an error, and those whose
 * creation has an unknown outcome. This replica is alive, so no other one takes them over. Each is looked for, with
 * growing waits, until it is taken up or is known not to be this replica's.
 *
 * Invariant: a task is in `#lost` from the step that loses it until the end of a look that has taken it up, and in
 * which it was not lost again.
 *
 * Bounded by the tasks of this replica: an unknown creation keeps its place in the run queue until it is known.
 */
export class LostTasks {
  readonly #deps: ManagerDeps;
  readonly #use: (key: TaskKey, body: (run: TaskRun) => Promise<void>) => Promise<void>;
  readonly #lost = new Map<string, Lost>();
  /** Those whose time has come, and that wait for a look of another to end. */
  readonly #due: Lost[] = [];
  #looking = 0;
  #stopped = false;
  /** Losses in a row to errors that no later try helps, by task. */
  readonly #defects = new Map<string, number>();
  /** All losses in a row, by task. */
  readonly #losses = new Map<string, number>();

  constructor(deps: ManagerDeps, use: (key: TaskKey, body: (run: TaskRun) => Promise<void>) => Promise<void>) {
    this.#deps = deps;
    this.#use = use;
  }

  /** Looks for a task whose run was lost. */
  lost(key: TaskKey, error: Error): void {
    const id = taskKeyString(key);
    const losses = (this.#losses.get(id) ?? 0) + 1;
    this.#losses.set(id, losses);
    const defect = !(error instanceof StorageError || error instanceof TaskError);
    if (defect || (error instanceof StorageError && !error.retryable))
      this.#defects.set(id, (this.#defects.get(id) ?? 0) + 1);
    this.#add({ ...none, key, id, creation: undefined, defect, looks: losses - 1 });
  }

  /** Looks for a task that an append without an answer may have created. */
  created(key: TaskKey, creation: UnknownCreation): void {
    const id = taskKeyString(key);
    const lost = this.#add({ ...none, key, id, creation });
    lost.open++;
    lost.absent = 0;
    void creation.settled.then(() => {
      lost.open--;
    });
  }

  /** A task whose run has ended without being lost. */
  ended(id: string): void {
    this.#losses.delete(id);
    this.#defects.delete(id);
  }

  /** Ends all looks. What they look for is found by the next server. */
  stop(): void {
    this.#stopped = true;
    for (const { cancel } of this.#lost.values()) cancel();
    this.#lost.clear();
    this.#due.length = 0;
  }

  /** Gives the task as it is looked for: an earlier loss of the same task stands for the new one too. */
  #add(lost: Lost): Lost {
    const before = this.#lost.get(lost.id);
    if (this.#stopped || before !== undefined) lost.creation?.known();
    if (before !== undefined) {
      before.again = true;
      before.defect = lost.defect;
      return before;
    }
    if (this.#stopped) return lost;
    this.#lost.set(lost.id, lost);
    this.#later(lost);
    return lost;
  }

  #later(lost: Lost): void {
    lost.looks++;
    lost.cancel = this.#deps.clock.after(backoffMs(appendBackoff, lost.looks), () => {
      this.#due.push(lost);
      this.#next();
    });
  }

  #next(): void {
    while (this.#looking < looksAtOnce) {
      const lost = this.#due.shift();
      if (lost === undefined) return;
      this.#looking++;
      lost.again = false;
      void this.#look(lost).then((known) => {
        this.#looking--;
        if (!this.#stopped) {
          if (known && !lost.again) this.#forget(lost);
          else this.#later(lost);
        }
        this.#next();
      });
    }
  }

  #forget({ id, creation }: Lost): void {
    this.#lost.delete(id);
    creation?.known();
  }

  /** Takes a task up if it is this replica's. Says whether all is known about it. Never rejects. */
  async #look(lost: Lost): Promise<boolean> {
    const { storage, replica, logger } = this.#deps;
    const { key, id, creation } = lost;
    try {
      // Before the read: a call that ends meanwhile may create the task after it.
      const { open } = lost;
      const stored = await storage.getTask(key);
      if (stored === undefined && creation !== undefined) {
        lost.absent = open > 0 ? 0 : lost.absent + 1;
        return lost.absent >= absentLooksMax;
      }
      if (stored === undefined || stored.replica !== replica || isTerminal(stored.state)) {
        this.ended(id);
        return true;
      }
      const giveUp = (this.#defects.get(id) ?? 0) >= defectsMax;
      const { defect } = lost;
      await this.#use(key, (run) => run.recover({ giveUp, defect, ...(creation && { caller: creation.caller }) }));
      return true;
    } catch (error) {
      // The next server takes the task up.
      if (this.#stopped) return true;
      const fields = { taskId: key.taskId, err: error };
      if (creation === undefined) logger.warn(fields, "Failed to take up a lost task; trying again later");
      else logger.debug(fields, "Failed to look for a task whose creation has an unknown outcome; trying again later");
      return false;
    }
  }
}

/** A task that was lost just now. */
const none = { open: 0, defect: false, again: false, looks: 0, absent: 0, cancel: () => {} } as const;
