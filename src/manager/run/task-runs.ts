import type { AbortReason } from "../../agent/message-processor.ts";
import type { PlacedEntry } from "../../domain/entry.ts";
import type { TaskFold } from "../../domain/fold.ts";
import { type Caller, type Scope, type TaskKey, taskKeyString } from "../../domain/scope.ts";
import { closed, TaskError, taskNotFound } from "../../domain/task-error.ts";
import { appendBackoff } from "../../log/limits.ts";
import { loadTask } from "../../log/load-task.ts";
import { backoffMs } from "../../runtime/backoff.ts";
import { StorageError } from "../../storage/storage-error.ts";
import type { TaskFeed } from "../../stream/task-hub.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { RunQueue } from "./run-queue.ts";
import type { TaskContextFactory } from "./task-context.ts";
import { type RunStart, TaskRun } from "./task-run.ts";

interface Place {
  readonly id: string;
  readonly feed: TaskFeed;
  /** Set in the same step in which the place is put into the map. */
  run: Promise<TaskRun> | undefined;
  /** Set once `run` has resolved. */
  ready: TaskRun | undefined;
  /** How many calls use it right now; raised in the same step in which it is found. */
  users: number;
  /** Nobody uses it any more, and its feed was given back. */
  released: boolean;
}

/**
 * The tasks this replica owns.
 *
 * Invariant: at most one run, so one writer, per task: whoever wants one finds the place in the map or puts one there
 * in the same step. A place goes when nobody uses it and its run has nothing to do.
 */
export class TaskRuns {
  readonly #deps: ManagerDeps;
  readonly #queue: RunQueue;
  readonly #places = new Map<string, Place>();
  readonly #contexts: TaskContextFactory;
  #stopped = false;
  /** Takes back the next try to take up a task that the storage failed, by task. */
  readonly #retries = new Map<string, () => void>();

  constructor(deps: ManagerDeps, queue: RunQueue, contexts: TaskContextFactory) {
    this.#deps = deps;
    this.#queue = queue;
    this.#contexts = contexts;
  }

  /** Nothing begins any more. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get size(): number {
    return this.#places.size;
  }

  /** The run of a task, if this replica has one ready. */
  peek(key: TaskKey): TaskRun | undefined {
    return this.#places.get(taskKeyString(key))?.ready;
  }

  /**
   * Starts to run a task that was just created here, with this replica as owner under fence 1. Throws TaskError
   * UNAVAILABLE once all is stopped: the next server runs it.
   */
  async started(key: TaskKey, fold: TaskFold, batch: string, created: PlacedEntry, caller: Caller): Promise<void> {
    if (this.#stopped) throw closed();
    const id = taskKeyString(key);
    if (this.#places.has(id)) {
      // Somebody who knew the id from the claim was faster and has loaded it.
      await this.use(key, async (run) => run.begin(caller));
      return;
    }
    const owner = { replica: this.#deps.replica, fence: 1n };
    const place = this.#place(key, id);
    const run = this.#make(key, { fold, batch, logBytes: created.bytes, snapshotBytes: 0, owner }, place);
    place.ready = run;
    place.run = Promise.resolve(run);
    run.feed.publish([created]);
    run.begin(caller);
  }

  /**
   * Lends the run of a task, loaded from the log if need be. Throws TaskError TASK_NOT_FOUND, and UNAVAILABLE once all
   * is stopped.
   */
  async use<T>(key: TaskKey, body: (run: TaskRun) => Promise<T>): Promise<T> {
    const id = taskKeyString(key);
    let place = this.#places.get(id);
    // A lost run stays only with those who use it already; the next one starts from the log.
    if (place === undefined || place.ready?.lost !== undefined) {
      place = this.#place(key, id);
      place.run = this.#load(key, place);
    }
    place.users++;
    try {
      const run = await place.run;
      if (run === undefined) throw new Error("A place without a run");
      if (this.#stopped) throw closed();
      return await body(run);
    } finally {
      place.users--;
      this.#forgetIfIdle(place);
    }
  }

  /** The runs that this replica has of a conversation's tasks. */
  ofConversation({ tenant, owner }: Scope, contextId: string): readonly TaskRun[] {
    const ready = [...this.#places.values()].flatMap((place) => place.ready ?? []);
    return ready.filter(
      ({ key, writer }) => key.tenant === tenant && key.owner === owner && writer.committed.contextId === contextId,
    );
  }

  /** Stops every turn, waiting until all have ended; nothing begins any more. */
  async stopAll(reason: AbortReason): Promise<void> {
    this.#stopped = true;
    for (const cancel of this.#retries.values()) cancel();
    await Promise.allSettled([...this.#places.values()].map(async ({ run }) => (await run)?.stop(reason)));
  }

  /**
   * The storage failed a run for good, but this replica lives and is still the owner, so nobody else will ever see to
   * the task: once the storage is back it is taken up here, like that of a dead replica.
   */
  #retryLater(key: TaskKey, id: string, attempt: number): void {
    if (this.#stopped || this.#retries.has(id)) return;
    const { clock, logger } = this.#deps;
    const retry = () => {
      this.#retries.delete(id);
      this.use(key, (run) => run.recover()).catch((error: unknown) => {
        if (error instanceof TaskError && error.reason === "TASK_NOT_FOUND") return;
        logger.warn({ taskId: key.taskId, err: error }, "A lost task could not be taken up again yet");
        this.#retryLater(key, id, attempt + 1);
      });
    };
    this.#retries.set(id, clock.after(backoffMs(appendBackoff, attempt), retry));
  }

  #place(key: TaskKey, id: string): Place {
    const place: Place = {
      id,
      feed: this.#deps.hub.open(key),
      run: undefined,
      ready: undefined,
      users: 0,
      released: false,
    };
    this.#places.set(id, place);
    return place;
  }

  async #load(key: TaskKey, place: Place): Promise<TaskRun> {
    const loaded = await loadTask(this.#deps.storage, key);
    if (loaded === undefined) throw taskNotFound(key.taskId);
    const { stored, fold, batch } = loaded;
    const start: RunStart = {
      fold,
      batch,
      logBytes: stored.logBytes,
      snapshotBytes: stored.snapshot?.bytes.byteLength ?? 0,
      owner: { replica: stored.replica, fence: stored.fence },
    };
    place.ready = this.#make(key, start, place);
    return place.ready;
  }

  #make(key: TaskKey, start: RunStart, place: Place): TaskRun {
    const parts = {
      queue: this.#queue,
      contexts: this.#contexts,
      feed: place.feed,
      onIdle: () => this.#forgetIfIdle(place),
      onLost: (error: Error) => {
        if (error instanceof StorageError) this.#retryLater(key, place.id, 1);
      },
    };
    return new TaskRun(this.#deps, key, start, parts);
  }

  #forgetIfIdle(place: Place): void {
    const { id, ready } = place;
    if (place.users > 0 || place.released || (ready?.busy && ready.lost === undefined)) return;
    place.released = true;
    this.#deps.hub.release(place.feed);
    if (this.#places.get(id) === place) this.#places.delete(id);
  }
}
