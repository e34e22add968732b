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
import { closeMs, maintenanceMs } from "./limits.ts";
import { type OpenedMongo, openMongo } from "./open.ts";
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
  readonly #running: RunningTasks;
  readonly #ended: EndedTasks;
  readonly #calls = new Set<Promise<unknown>>();
  #closing = false;

  private constructor(mongo: OpenedMongo, context: Omit<MongoContext, "running" | "ended">, inbox: MongoInbox) {
    this.#mongo = mongo;
    this.#inbox = inbox;
    this.#running = new RunningTasks();
    this.#ended = new EndedTasks();
    this.#context = { ...context, running: this.#running, ended: this.#ended };
  }

  static async open(urlOrClient: string | MongoClient, options: SessionOptions): Promise<MongoSession> {
    const { prefix, maxHistoryLength, database, slackMs, logger } = options;
    const mongo = await openMongo(urlOrClient, database, logger);
    try {
      const collections = openCollections(mongo.db, prefix);
      await prepareSchema(mongo.db, collections, prefix);
      const context = {
        collections,
        maxHistoryLength,
        slackMs,
        retention: { conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: Number.POSITIVE_INFINITY },
        hints: new TaskHints(),
        jobs: new MongoJobs(logger),
        clock: await readClock(mongo),
      };
      const session = new MongoSession(mongo, context, new MongoInbox(mongo.inboxDb, inboxName(prefix), logger));
      session.#maintain();
      return session;
    } catch (error) {
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

  /** A write whose answer is lost fails with an unknown outcome. */
  async run<T>(kind: "read" | "write", operation: (context: MongoContext) => Promise<T>): Promise<T> {
    const call = operation(this.#context);
    this.#calls.add(call);
    try {
      return await call;
    } catch (error) {
      throw storageError(error, kind, this.#closing);
    } finally {
      this.#calls.delete(call);
    }
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
    this.#ended.close();
    const quiet = Promise.allSettled([...this.#calls, this.#inbox.close(), this.#context.jobs.close()]);
    await Promise.race([quiet, setTimeout(closeMs, undefined, { ref: false })]);
    // A server that does not answer must not keep the process from ending.
    await Promise.race([this.#mongo.close(), setTimeout(closeMs, undefined, { ref: false })]);
  }
}

async function readClock({ db }: OpenedMongo): Promise<DatabaseClock> {
  const { localTime } = await db.admin().command({ hello: 1 });
  const clock = new DatabaseClock();
  clock.note(localTime);
  return clock;
}
