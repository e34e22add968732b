import { setTimeout } from "node:timers/promises";
import { type Collection, type Db, Timestamp } from "mongodb";
import type { TaskKey } from "../../../domain/scope.ts";
import type { Logger } from "../../../runtime/logger.ts";
import { now } from "../conversations/pointers.ts";
import { wakeKeysMax } from "../limits.ts";
import type { WakeRecord } from "../records.ts";

type Wake = (keys: readonly TaskKey[]) => void;

/** How long the server waits for a wake-up before it returns an empty reply. */
const awaitMs = 1_000;
/** The pause before a broken inbox is opened again. */
const reopenMs = 250;
/**
 * Wake-ups are hints, so they don't wait for a majority: readers are to see an append as soon as possible. One that is
 * rolled back has woken readers in vain.
 */
const hintConcern = { writeConcern: { w: 1 } } as const;

/**
 * The wake-ups of all replicas: one small capped collection. Each replica that watches tails it for the wake-ups that
 * name it. When the tailed cursor breaks (a new primary, or a reader that is too far behind), it is opened again, and
 * the replica is woken with no keys, which means: check all tasks.
 */
export class MongoInbox {
  readonly #collection: Collection<WakeRecord>;
  readonly #logger: Logger;
  readonly #tails = new Set<Tail>();

  constructor(db: Db, name: string, logger: Logger) {
    this.#collection = db.collection<WakeRecord>(name);
    this.#logger = logger;
  }

  async wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    const to = [...new Set(replicas)];
    if (to.length === 0 || keys.length === 0) {
      return;
    }
    const records: WakeRecord[] = [];
    for (let at = 0; at < keys.length; at += wakeKeysMax) {
      const some = keys.slice(at, at + wakeKeysMax).map(({ tenant, owner, taskId }) => ({ tenant, owner, taskId }));
      records.push({ to, keys: some, at: now });
    }
    await this.#collection.insertMany(records, hintConcern);
  }

  watch(replica: string, wake: Wake): AsyncDisposable {
    const tail = new Tail(this.#collection, replica, wake, this.#logger);
    this.#tails.add(tail);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#tails.delete(tail);
        await tail.close();
      },
    };
  }

  async close(): Promise<void> {
    await Promise.all([...this.#tails].map((tail) => tail.close()));
  }
}

class Tail {
  readonly #collection: Collection<WakeRecord>;
  readonly #replica: string;
  readonly #wake: Wake;
  readonly #logger: Logger;
  readonly #abort = new AbortController();
  readonly #done: Promise<void>;

  constructor(collection: Collection<WakeRecord>, replica: string, wake: Wake, logger: Logger) {
    this.#collection = collection;
    this.#replica = replica;
    this.#wake = wake;
    this.#logger = logger;
    this.#done = this.#run();
  }

  async close(): Promise<void> {
    this.#abort.abort();
    await this.#done;
  }

  async #run(): Promise<void> {
    const { signal } = this.#abort;
    for (let opened = 0; !signal.aborted; opened++) {
      try {
        await this.#follow(opened > 0);
      } catch (error) {
        if (!signal.aborted) {
          this.#logger.debug({ err: error }, "The inbox of wake-ups broke and is opened anew");
        }
      }
      await setTimeout(reopenMs, undefined, { signal, ref: false }).catch(() => undefined);
    }
  }

  /** Reads new wake-ups until the cursor breaks. */
  async #follow(again: boolean): Promise<void> {
    const options = { readPreference: "primary", readConcern: { level: "local" } } as const;
    const [last] = await this.#collection.find({}, options).sort({ $natural: -1 }).limit(1).toArray();
    const filter = { to: this.#replica, at: { $gt: last?.at ?? new Timestamp({ t: 0, i: 0 }) } };
    const { signal } = this.#abort;
    const cursor = this.#collection.find(filter, {
      ...options,
      tailable: true,
      awaitData: true,
      maxAwaitTimeMS: awaitMs,
      signal,
    });
    try {
      // Opened before the replica is told to check all tasks, so later wake-ups are not missed.
      let next = await cursor.tryNext();
      if (again && !signal.aborted) {
        this.#wake([]);
      }
      for (; ; next = await cursor.next()) {
        if (signal.aborted || cursor.closed) {
          return;
        }
        if (next !== null) {
          this.#wake(next.keys.map((key) => ({ ...key })));
        }
      }
    } finally {
      await cursor.close().catch(() => undefined);
    }
  }
}
