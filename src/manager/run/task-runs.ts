import type { AbortReason } from "../../agent/message-processor.ts";
import type { PlacedEntry } from "../../domain/entry.ts";
import type { TaskFold } from "../../domain/fold.ts";
import { type Caller, type Scope, type TaskKey, taskKeyString } from "../../domain/scope.ts";
import { closed, TaskError, taskNotFound } from "../../domain/task-error.ts";
import { loadTask } from "../../log/load-task.ts";
import type { StoredTask } from "../../storage/storage.ts";
import type { TaskFeed } from "../../stream/task-hub.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { type AnswerRoom, heldBytes, type RoomWait, roomyBytes, sourceOf } from "../read/answer-room.ts";
import { LostTasks, type UnknownCreation } from "./lost-tasks.ts";
import type { RunQueue } from "./run-queue.ts";
import type { TaskContextFactory } from "./task-context.ts";
import { type RunStart, TaskRun } from "./task-run.ts";

interface Place {
  readonly id: string;
  readonly feed: TaskFeed;
  /** Set in the same step in which the place enters the map. */
  run: Promise<TaskRun> | undefined;
  /** Set once `run` has resolved. */
  ready: TaskRun | undefined;
  /** How many calls use it now. Raised in the same step in which a call finds the place. */
  users: number;
  /** No call uses it, and its feed was given back. */
  released: boolean;
}

/**
 * The tasks that run on this replica.
 *
 * Invariant: a task has at most one run, and so one writer. A call that needs a run finds its place in the map, or puts
 * one there in the same step. A place is removed when no call uses it and its run has nothing to do.
 */
export class TaskRuns {
  readonly #deps: ManagerDeps;
  readonly #queue: RunQueue;
  readonly #places = new Map<string, Place>();
  readonly #contexts: TaskContextFactory;
  readonly #lost: LostTasks;
  #stopped = false;
  #finishing = false;

  constructor(deps: ManagerDeps, queue: RunQueue, contexts: TaskContextFactory) {
    this.#deps = deps;
    this.#queue = queue;
    this.#contexts = contexts;
    this.#lost = new LostTasks(deps, (key, body) => this.use(key, body));
  }

  /** No further run begins. */
  get stopped(): boolean {
    return this.#stopped;
  }

  get size(): number {
    return this.#places.size;
  }

  /** The run of a task, if it is loaded on this replica. */
  peek(key: TaskKey): TaskRun | undefined {
    return this.#places.get(taskKeyString(key))?.ready;
  }

  /**
   * Runs a task that was just created here, with this replica as owner under fence 1. Throws TaskError UNAVAILABLE
   * after `stopAll`: the next server runs the task.
   */
  async started(key: TaskKey, fold: TaskFold, batch: string, created: PlacedEntry, caller: Caller): Promise<void> {
    if (this.#stopped) throw closed();
    const id = taskKeyString(key);
    if (this.#places.has(id)) {
      // Another call knew the id, for instance from the claim, and has loaded the task.
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
   * Calls `body` with the run of a task, loaded from the log if necessary. The run stays while `body` uses it. Throws
   * TaskError TASK_NOT_FOUND, and UNAVAILABLE after `stopAll`. With a room, a large task is loaded only once there is
   * room for it, and what `AnswerRoom.share` rejects with is thrown.
   */
  async use<T>(
    key: TaskKey,
    body: (run: TaskRun) => Promise<T>,
    room?: AnswerRoom | undefined,
    wait?: RoomWait,
  ): Promise<T> {
    // Each call waits in its own room, and outside of the map: a call to cancel waits for none.
    for (let mayLoad = room === undefined; ; mayLoad = true) {
      try {
        return await this.#use(key, body, mayLoad);
      } catch (error) {
        if (!(error instanceof NeedsRoom)) throw error;
        if (!mayLoad) await room?.share(sourceOf(key, error.head), heldBytes(error.logBytes, error.head), wait);
        wait?.signal?.throwIfAborted();
      }
    }
  }

  /** Like `use`. Throws `NeedsRoom` if the task is loaded by a call that must not load a large one. */
  async #use<T>(key: TaskKey, body: (run: TaskRun) => Promise<T>, mayLoad: boolean): Promise<T> {
    const id = taskKeyString(key);
    let place = this.#places.get(id);
    // Calls that use a lost run keep it. Every other call gets a new run, from the log.
    if (place === undefined || place.ready?.lost !== undefined) {
      place = this.#place(key, id);
      place.run = this.#load(key, place, mayLoad);
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

  /** Looks for a task that an append without an answer may have created, until it is taken up or known not to exist. */
  lookFor(key: TaskKey, creation: UnknownCreation): void {
    this.#lost.created(key, creation);
  }

  /** The runs of a conversation's tasks on this replica. */
  ofConversation({ tenant, owner }: Scope, contextId: string): readonly TaskRun[] {
    const ready = [...this.#places.values()].flatMap((place) => place.ready ?? []);
    return ready.filter(
      ({ key, writer }) => key.tenant === tenant && key.owner === owner && writer.committed.contextId === contextId,
    );
  }

  /**
   * Lets the turns that run end, and begins no other, also in runs that are made later: those only append. Resolves
   * when no turn runs.
   */
  async finishAll(): Promise<void> {
    this.#finishing = true;
    this.#lost.stop();
    await this.#stopEach(undefined);
  }

  /** Stops every run and resolves when all have stopped. No further run begins. */
  async stopAll(reason: AbortReason): Promise<void> {
    this.#stop();
    await this.#stopEach(reason);
  }

  /**
   * Loses every run, because other replicas own its task by now. No append begins afterwards, and none that waits is
   * acknowledged. No further run begins.
   */
  abandonAll(error: Error): void {
    this.#stop();
    for (const { ready } of [...this.#places.values()]) ready?.writer.abandon(error);
  }

  async #stopEach(reason: AbortReason | undefined): Promise<void> {
    await Promise.allSettled([...this.#places.values()].map(async ({ run }) => (await run)?.stop(reason)));
  }

  #stop(): void {
    this.#stopped = true;
    this.#lost.stop();
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

  async #load(key: TaskKey, place: Place, mayLoad: boolean): Promise<TaskRun> {
    const { storage } = this.#deps;
    const loaded = await (mayLoad
      ? loadTask(storage, key)
      : loadTask(storage, key, roomyBytes, (header) => {
          // In this step, so that no call finds the place again that tries once more.
          if (this.#places.get(place.id) === place) this.#places.delete(place.id);
          throw new NeedsRoom(header);
        }));
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
        // What was removed is gone. Everything else may still be this replica's, whatever the error says.
        if (!(error instanceof TaskError && error.reason === "TASK_NOT_FOUND")) this.#lost.lost(key, error);
      },
    };
    const run = new TaskRun(this.#deps, key, start, parts);
    // Nothing runs yet, so it is stopped in this step.
    if (this.#finishing) void run.stop();
    return run;
  }

  #forgetIfIdle(place: Place): void {
    const { id, ready } = place;
    if (place.users > 0 || place.released || (ready?.busy && ready.lost === undefined)) return;
    place.released = true;
    if (ready !== undefined && ready.lost === undefined) this.#lost.ended(id);
    this.#deps.hub.release(place.feed);
    if (this.#places.get(id) === place) this.#places.delete(id);
  }
}

/** A large task was not loaded. Caught in this file. */
class NeedsRoom extends Error {
  readonly head: bigint;
  readonly logBytes: number;

  constructor({ head, logBytes }: Pick<StoredTask, "head" | "logBytes">) {
    super("A large task is loaded only once there is room for it");
    this.head = head;
    this.logBytes = logBytes;
  }
}
