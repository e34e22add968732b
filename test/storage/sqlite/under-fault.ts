import { EventEmitter } from "node:events";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import type { Worker } from "node:worker_threads";
import type { Fault, OpenUnderFault } from "../../../src/conformance/index.ts";
import { checkStorageOptions } from "../../../src/storage/check-arguments.ts";
import { sqliteStorageOver } from "../../../src/storage/sqlite/storage.ts";
import { SqliteChannel } from "../../../src/storage/sqlite/thread/channel.ts";
import { openReader, openWriter } from "../../../src/storage/sqlite/thread/connection.ts";
import { createContext, type SqliteContext } from "../../../src/storage/sqlite/thread/context.ts";
import { runReads, runWrites } from "../../../src/storage/sqlite/thread/group.ts";
import {
  type ReaderOperations,
  readerOperations,
  type WriterOperations,
  writerOperations,
} from "../../../src/storage/sqlite/thread/operations.ts";
import type { Call, ToWorker } from "../../../src/storage/sqlite/thread/protocol.ts";
import type { Storage, StorageOptions } from "../../../src/storage/storage.ts";

/**
 * A SQLite storage in a folder of its own, with a fault at one of its writer's statements. All of the engine but the
 * start of its threads: what they do is done here, since starting them hundreds of times would take minutes.
 */
export const openSqliteUnderFault: OpenUnderFault = async (fault, options) => {
  const folder = mkdtempSync(join(tmpdir(), "a2a-sqlite-fault-"));
  const file = join(folder, "tasks.db");
  if (options === undefined) writeFileSync(file, newDatabase(join(folder, "new.db")));
  const trap = new Trap(fault);
  const storage = openInline(file, options, trap);
  const opened: Storage[] = [storage];
  return {
    storage,
    arm() {
      trap.armed = true;
    },
    get struck() {
      return trap.struck;
    },
    async reopen() {
      trap.armed = false;
      await storage[Symbol.asyncDispose]();
      const again = openInline(file, options);
      opened.push(again);
      return again;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(opened.map((one) => one[Symbol.asyncDispose]()));
      rmSync(folder, { recursive: true, force: true });
    },
  };
};

let newBytes: Buffer | undefined;

/** The bytes of a new database with its tables. They are made once, since that takes longer than most runs. */
function newDatabase(file: string): Buffer {
  if (newBytes === undefined) {
    openWriter(file, checkStorageOptions(undefined).prefix).close();
    newBytes = readFileSync(file);
  }
  return newBytes;
}

function openInline(file: string, options: StorageOptions | undefined, trap?: Trap): Storage {
  const { prefix, maxHistoryLength } = checkStorageOptions(options);
  const real = openWriter(file, prefix);
  // Faults here are no power cuts, so nothing need wait for the disk.
  real.exec("PRAGMA synchronous = OFF");
  const db = trap === undefined ? real : trap.database(real);
  const writing = new InlineWorker(
    createContext(db, { prefix, maxHistoryLength }),
    (context, calls) => runWrites(context, writerOperations, calls),
    trap,
  );
  const reading = new InlineWorker(createContext(openReader(file), { prefix, maxHistoryLength }), (context, calls) =>
    runReads(context, readerOperations, calls),
  );
  const writer = new SqliteChannel<WriterOperations>(writing as unknown as Worker, "writer");
  const reader = new SqliteChannel<ReaderOperations>(reading as unknown as Worker, "reader");
  return sqliteStorageOver({ writer, reader });
}

/** Counts statements, and makes one fail. */
class Trap {
  readonly #fault: Fault;
  armed = false;
  struck = false;
  /** The thread has ended: nothing is carried out any more. */
  dead = false;
  #steps = 0;

  constructor(fault: Fault) {
    this.#fault = fault;
  }

  database(real: DatabaseSync): DatabaseSync {
    return wrap(real, {
      exec: (sql: string) => this.#perform(() => real.exec(sql)),
      prepare: (sql: string) => {
        const statement = real.prepare(sql);
        const performed = (name: "run" | "get" | "all") => (values: never) =>
          this.#perform(() => (values === undefined ? statement[name]() : statement[name](values)));
        return wrap(statement, { run: performed("run"), get: performed("get"), all: performed("all") });
      },
    });
  }

  #perform<T>(statement: () => T): T {
    if (this.dead) {
      throw ioError();
    }
    if (!this.armed || this.#steps++ !== this.#fault.step) {
      return statement();
    }
    this.struck = true;
    if (this.#fault.effect === "after") {
      statement();
    }
    this.dead = this.#fault.crash;
    throw ioError();
  }
}

type RunGroup = (context: SqliteContext, calls: readonly Call[]) => readonly unknown[];

/**
 * Does in this thread what a worker does in its own, a group of calls at a time. It ends without an answer when it is
 * struck dead.
 */
class InlineWorker extends EventEmitter {
  readonly #context: SqliteContext;
  readonly #run: RunGroup;
  readonly #trap: Trap | undefined;
  #ended = false;

  constructor(context: SqliteContext, run: RunGroup, trap?: Trap) {
    super();
    this.#context = context;
    this.#run = run;
    this.#trap = trap;
  }

  postMessage(message: ToWorker): void {
    // A copy, as between threads.
    const received = structuredClone(message);
    setImmediate(() => this.#receive(received));
  }

  #receive(message: ToWorker): void {
    if (this.#ended) {
      return;
    }
    if (message === "close") {
      this.#end(0);
      return;
    }
    for (let calls = message; calls.length > 0; ) {
      const replies = this.#answer(calls);
      if (replies === undefined) {
        this.#end(1);
        return;
      }
      this.emit("message", structuredClone(replies));
      this.#context.handedOver.clear();
      calls = calls.slice(replies.length);
    }
  }

  /** Undefined if the thread came to its end meanwhile. */
  #answer(calls: readonly Call[]): readonly unknown[] | undefined {
    try {
      const replies = this.#run(this.#context, calls);
      return this.#trap?.dead === true ? undefined : replies;
    } catch {
      // Nothing catches this in a thread either: it ends.
      return undefined;
    }
  }

  #end(code: number): void {
    this.#ended = true;
    // What was not committed goes with the connection, as with the process.
    this.#context.db.close();
    this.emit("exit", code);
  }
}

function ioError(): Error {
  // SQLITE_IOERR.
  return Object.assign(new Error("Injected: disk I/O error"), { errcode: 10 });
}

/** An object with some of its methods replaced. */
function wrap<T extends object>(real: T, methods: Readonly<Record<string, unknown>>): T {
  return new Proxy(real, {
    get(target, name) {
      if (typeof name === "string" && Object.hasOwn(methods, name)) return methods[name];
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
}
