import { setTimeout } from "node:timers/promises";
import type { MongoClient } from "mongodb";
import type { Logger } from "../../runtime/logger.ts";
import type { Retention, StorageOptions } from "../storage.ts";
import { type MongoContext, openCollections, ttlOf } from "./context.ts";
import { DatabaseClock } from "./database-clock.ts";
import { storageError } from "./errors.ts";
import { MongoJobs } from "./jobs.ts";
import { EndedTasks } from "./lifetime/expiry.ts";
import { RunningTasks } from "./lifetime/pins.ts";
import { resumeRemovals } from "./lifetime/removal-steps.ts";
import { applyRetention } from "./lifetime/retention.ts";
import { attemptsMax, closeMs, maintenanceMs, majorityTimeoutMs } from "./limits.ts";
import { readLatest } from "./log/find-task.ts";
import { type OpenedMongo, openMongo } from "./open.ts";
import { Primaries, primaryChanges } from "./primaries.ts";
import { TaskHints } from "./replicas/hints.ts";
import { MongoInbox } from "./replicas/inbox.ts";
import { SilentReplicas } from "./replicas/silent-replicas.ts";
import { inboxName, prepareSchema } from "./schema.ts";

export interface SessionOptions extends Required<StorageOptions> {
  readonly database: string | undefined;
  readonly slackMs: number | undefined;
  readonly logger: Logger;
}

/** The connection, background jobs and calls under way of one storage, from opening to closing. */
export class MongoSession {
  readonly #mongo: OpenedMongo;
  readonly #context: MongoContext;
  readonly #inbox: MongoInbox;
  readonly #primaries: Primaries;
  readonly #running: RunningTasks;
  readonly #ended: EndedTasks;
  readonly #calls = new Set<Promise<unknown>>();
  #closing = false;

  private constructor(
    mongo: OpenedMongo,
    context: Omit<MongoContext, "running" | "ended">,
    primaries: Primaries,
    inbox: MongoInbox,
  ) {
    this.#mongo = mongo;
    this.#primaries = primaries;
    this.#inbox = inbox;
    this.#running = new RunningTasks();
    this.#ended = new EndedTasks();
    this.#context = { ...context, running: this.#running, ended: this.#ended };
  }

  static async open(urlOrClient: string | MongoClient, options: SessionOptions): Promise<MongoSession> {
    const { prefix, maxHistoryLength, database, slackMs, logger } = options;
    const mongo = await openMongo(urlOrClient, database, logger);
    const collections = openCollections(mongo.db, prefix);
    const latest = { readConcern: { level: mongo.latestLevel }, maxTimeMS: majorityTimeoutMs };
    const primaries = new Primaries(mongo, () => readLatest({ collections, latest }, anyTask));
    try {
      await prepareSchema(mongo.db, collections, prefix);
      const context = {
        collections,
        maxHistoryLength,
        slackMs,
        retention: { conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: Number.POSITIVE_INFINITY },
        hints: new TaskHints(),
        jobs: new MongoJobs(logger),
        clock: await readClock(mongo),
        latest,
        primaries,
      };
      // Here already, so that the first call doesn't wait.
      await primaries.settle();
      const session = new MongoSession(
        mongo,
        context,
        primaries,
        new MongoInbox(mongo.inboxDb, inboxName(prefix), logger),
      );
      session.#maintain();
      return session;
    } catch (error) {
      primaries.close();
      await mongo.close();
      throw storageError(error, "write", false);
    }
  }

  get inbox(): MongoInbox {
    return this.#inbox;
  }

  setRetention(retention: Retention): void {
    const { jobs } = this.#context;
    this.#context.retention = retention;
    jobs.run("retention", () => applyRetention(this.#context));
    const ttlMs = ttlOf(this.#context);
    if (ttlMs !== undefined) {
      jobs.every(Math.max(ttlMs / 4, 10), "running", () => this.#running.touchAll(this.#context));
    }
  }

  /**
   * A write whose answer is lost fails with an unknown outcome. A read is made again if the primary has changed
   * meanwhile, since it may be behind.
   */
  async run<T>(kind: "read" | "write", operation: (context: MongoContext) => Promise<T>): Promise<T> {
    const primaries = this.#primaries;
    for (let attempt = 1; attempt <= attemptsMax; attempt++) {
      const { term } = primaries;
      const call = primaries.settled ? operation(this.#context) : this.#runSettled(operation);
      this.#calls.add(call);
      try {
        const result = await call;
        if (kind === "write" || primaries.term === term) {
          return result;
        }
      } catch (error) {
        throw storageError(error, kind, this.#closing);
      } finally {
        this.#calls.delete(call);
      }
    }
    throw primaryChanges();
  }

  async #runSettled<T>(operation: (context: MongoContext) => Promise<T>): Promise<T> {
    try {
      await this.#primaries.settle();
    } catch (error) {
      // Nothing was written.
      throw storageError(error, "read", this.#closing);
    }
    return operation(this.#context);
  }

  #maintain(): void {
    const context = this.#context;
    context.jobs.every(maintenanceMs, "removals", () => resumeRemovals(context));
    const silent = new SilentReplicas();
    context.jobs.every(maintenanceMs, "replicas", () => silent.forget(context));
    context.jobs.run("removals", () => resumeRemovals(context));
  }

  async close(): Promise<void> {
    this.#closing = true;
    this.#primaries.close();
    this.#ended.close();
    const quiet = Promise.allSettled([...this.#calls, this.#inbox.close(), this.#context.jobs.close()]);
    await Promise.race([quiet, setTimeout(closeMs, undefined, { ref: false })]);
    // A server that does not answer must not keep the process from ending.
    await Promise.race([this.#mongo.close(), setTimeout(closeMs, undefined, { ref: false })]);
  }
}

/** Whatever it finds: the read is made for its waiting. */
const anyTask = [{ $limit: 1 }, { $project: { _id: 1 } }];

async function readClock({ db }: OpenedMongo): Promise<DatabaseClock> {
  const { localTime } = await db.admin().command({ hello: 1 });
  const clock = new DatabaseClock();
  clock.note(localTime);
  return clock;
}
