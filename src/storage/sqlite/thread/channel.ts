import { existsSync } from "node:fs";
import { Worker } from "node:worker_threads";
import { StorageError } from "../../storage-error.ts";
import type { ArgsOf, ResultOf } from "../../tables/operations/operations.ts";
import { fromWire } from "../errors.ts";
import { queueBytesMax, queueOperationsMax } from "../limits.ts";
import type { Operations } from "./operations.ts";
import type { Call, FromWorker, Reply, ToWorker, WorkerTask } from "./protocol.ts";

/** What goes with a call beside its arguments. */
export interface CallOptions {
  /** The size of its byte arrays, for the bounds of the queue. */
  readonly bytes?: number;
  /** Buffers in the arguments that the worker gets without a copy. */
  readonly transfer?: readonly ArrayBuffer[];
}

interface Pending {
  readonly bytes: number;
  readonly resolve: (value: never) => void;
  readonly reject: (error: Error) => void;
}

/**
 * One worker thread and the calls that wait for it. It lives from `openChannel` until `close`, or until the worker
 * dies. Then all waiting and later calls are rejected: a new writer could not say what became of the old one's calls.
 */
export class SqliteChannel<O extends Operations> {
  readonly #worker: Worker;
  readonly #role: WorkerTask["role"];
  readonly #pending = new Map<number, Pending>();
  #pendingBytes = 0;
  #nextId = 0;
  /** Calls of this turn of the event loop: they go in one message, which costs the threads much less than one each. */
  #outbox: Call[] = [];
  #outboxTransfer: ArrayBuffer[] = [];
  #died: { readonly cause: unknown } | undefined;
  readonly #exited: Promise<void>;

  constructor(worker: Worker, role: WorkerTask["role"]) {
    this.#worker = worker;
    this.#role = role;
    worker.on("message", (message: FromWorker) => this.#receive(message));
    worker.on("messageerror", (error) => this.#die(error));
    worker.on("error", (error) => this.#die(error));
    this.#exited = new Promise((resolve) => {
      worker.on("exit", (code) => {
        this.#die(new Error(`The thread ended with code ${code}`));
        resolve();
      });
    });
  }

  call<K extends keyof O & string>(name: K, args: ArgsOf<O[K]>, options: CallOptions = {}): Promise<ResultOf<O[K]>> {
    const { bytes = 0, transfer = [] } = options;
    if (this.#died !== undefined) {
      return Promise.reject(
        new StorageError("unavailable", `The ${this.#role} of the SQLite storage has ended`, this.#died),
      );
    }
    if (this.#pending.size >= queueOperationsMax || this.#pendingBytes + bytes > queueBytesMax) {
      return Promise.reject(
        new StorageError("unavailable", `Too much waits for the ${this.#role} of the SQLite storage`),
      );
    }
    const id = this.#nextId++;
    this.#pendingBytes += bytes;
    if (this.#outbox.length === 0) {
      setImmediate(() => this.#send());
    }
    this.#outbox.push({ id, name, args, bytes });
    this.#outboxTransfer.push(...transfer);
    return new Promise((resolve, reject) => {
      this.#pending.set(id, { bytes, resolve, reject });
    });
  }

  /** Ends the worker, after the calls before this one. Resolves when its connection is closed. */
  async close(): Promise<void> {
    this.#send();
    this.#post("close", []);
    await this.#exited;
  }

  #send(): void {
    if (this.#outbox.length === 0) {
      return;
    }
    const calls = this.#outbox;
    const transfer = this.#outboxTransfer;
    this.#outbox = [];
    this.#outboxTransfer = [];
    try {
      this.#post(calls, transfer);
    } catch (error) {
      // An argument can't be cloned, which is a fault in the program. Nothing was sent.
      for (const { id } of calls) {
        this.#settle(id)?.reject(error as Error);
      }
    }
  }

  #post(message: ToWorker, transfer: readonly ArrayBuffer[]): void {
    this.#worker.postMessage(message, transfer);
  }

  #receive(message: FromWorker): void {
    if (!Array.isArray(message)) {
      return;
    }
    for (const reply of message as readonly Reply[]) {
      const pending = this.#settle(reply.id);
      if ("error" in reply) {
        pending?.reject(fromWire(reply.error));
      } else {
        pending?.resolve(reply.value as never);
      }
    }
  }

  #settle(id: number): Pending | undefined {
    const pending = this.#pending.get(id);
    if (pending !== undefined) {
      this.#pending.delete(id);
      this.#pendingBytes -= pending.bytes;
    }
    return pending;
  }

  #die(cause: unknown): void {
    this.#died ??= { cause };
    const outcome = this.#role === "writer" ? "unknown" : "none";
    for (const id of [...this.#pending.keys()]) {
      this.#settle(id)?.reject(
        new StorageError("unavailable", `The ${this.#role} of the SQLite storage ended`, {
          outcome,
          cause: this.#died.cause,
        }),
      );
    }
  }
}

/** Starts a worker and waits until its connection is open; throws what kept it from opening. */
export async function openChannel<O extends Operations>(task: WorkerTask): Promise<SqliteChannel<O>> {
  // The file of the worker is beside this one: source run by type stripping, what the compiler made of it, or a bundle.
  const name = import.meta.url?.endsWith(".ts") ? "sqlite-worker.ts" : "sqlite-worker.js";
  const file = new URL(name, import.meta.url);
  if (!existsSync(file))
    throw new StorageError(
      "unavailable",
      `The SQLite storage has no ${name} beside its code: bundle "a2a-task-manager/sqlite/worker" to that name, or ` +
        'leave "a2a-task-manager" out of the bundle',
    );
  const worker = new Worker(file, {
    name: `sqlite-${task.role}`,
    workerData: task,
    // The flags of the process are meant for its program: with `--input-type`, a thread could not even be started from
    // a file.
    execArgv: [],
  });
  const channel = new SqliteChannel<O>(worker, task.role);
  await new Promise<void>((resolve, reject) => {
    worker.once("message", (message: FromWorker) => {
      if (message === "ready") {
        resolve();
      } else {
        reject("failed" in message ? fromWire(message.failed) : new Error("The worker answered before it was ready"));
      }
    });
    const fail = (cause: unknown) =>
      reject(new StorageError("unavailable", `The ${task.role} of the SQLite storage didn't start`, { cause }));
    worker.once("error", fail);
    worker.once("exit", fail);
  });
  return channel;
}
