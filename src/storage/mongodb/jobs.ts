import { setTimeout } from "node:timers/promises";
import type { Logger } from "../../runtime/logger.ts";

/** Jobs that run at once: few, so that they don't delay calls. */
const jobsAtOnce = 4;
/** Jobs that wait. Work that is refused is done later by a repair or by the database's TTL. */
const jobsMax = 10_000;

type Work = () => Promise<void>;

/**
 * Work off the request path: renewing, trimming and removing records. Callers see no difference, so a job that fails is
 * only logged.
 */
export class MongoJobs {
  readonly #logger: Logger;
  readonly #waiting = new Map<string, Work>();
  readonly #running = new Map<string, Promise<void>>();
  readonly #timers = new Set<NodeJS.Timeout>();
  readonly #closing = new AbortController();

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Runs a job soon, and once more if a job of that name is running. A waiting job of that name is replaced. */
  run(name: string, work: Work): void {
    if (this.closed || (this.#waiting.size >= jobsMax && !this.#waiting.has(name))) {
      return;
    }
    this.#waiting.set(name, work);
    this.#next();
  }

  /** Runs a job every `ms` milliseconds, first after `ms`. It doesn't keep the process alive. */
  every(ms: number, name: string, work: Work): void {
    // With jitter, so that replicas that started together don't run the job together.
    const timer = setInterval(() => this.run(name, work), Math.min(ms * (0.9 + 0.2 * Math.random()), 2 ** 31 - 1));
    timer.unref();
    this.#timers.add(timer);
  }

  /**
   * Resolves after so many milliseconds, or when the jobs are closed: a closing waits for the jobs that run, so they
   * don't sleep on. It doesn't keep the process alive.
   */
  async sleep(ms: number): Promise<void> {
    const { signal } = this.#closing;
    await setTimeout(ms, undefined, { signal, ref: false }).catch((error: unknown) => {
      if (!signal.aborted) {
        throw error;
      }
    });
  }

  /** Resolves when no job of that name waits or runs. */
  async settled(name: string): Promise<void> {
    while (this.#waiting.has(name) || this.#running.has(name)) {
      await (this.#running.get(name) ?? Promise.race(this.#running.values()));
    }
  }

  /** Drops waiting jobs, and waits for running ones. */
  async close(): Promise<void> {
    this.#closing.abort();
    this.#waiting.clear();
    for (const timer of this.#timers) {
      clearInterval(timer);
    }
    await Promise.all(this.#running.values());
  }

  get closed(): boolean {
    return this.#closing.signal.aborted;
  }

  #next(): void {
    for (const [name, work] of this.#waiting) {
      if (this.#running.size >= jobsAtOnce) {
        return;
      }
      if (!this.#running.has(name)) {
        this.#waiting.delete(name);
        this.#running.set(name, this.#perform(name, work));
      }
    }
  }

  async #perform(name: string, work: Work): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!this.closed) {
        this.#logger.warn({ job: name.split(" ", 1)[0], err: error }, "A job of the MongoDB storage failed");
      }
    } finally {
      this.#running.delete(name);
      this.#next();
    }
  }
}
