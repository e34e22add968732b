import { type Collection, type Db, type Document, type MongoClient, MongoNetworkError } from "mongodb";

/** Operations on collections that take effect or read when they are awaited. */
const operations: ReadonlySet<string | symbol> = new Set([
  "bulkWrite",
  "countDocuments",
  "deleteMany",
  "deleteOne",
  "findOne",
  "findOneAndReplace",
  "findOneAndUpdate",
  "insertMany",
  "insertOne",
  "replaceOne",
  "updateMany",
  "updateOne",
]);

/**
 * What goes wrong: an operation that is never carried out, or one whose answer is lost; alone, or all after it, too, as
 * when a process ends.
 */
export interface Fault {
  /** The number of the operation, from 0. */
  readonly step: number;
  readonly answerLost: boolean;
  readonly crash: boolean;
}

/** A client through which a fault can be injected between the storage and the database. */
export class FaultyClient {
  readonly client: MongoClient;
  readonly #hello: object;
  #fault: Fault | undefined;
  #steps = 0;
  #dead = false;
  #struck = false;
  #meanwhile:
    | { readonly operation: string; readonly collection: string; readonly happens: () => Promise<void> }
    | undefined;

  /** `hello`: what the server says of itself beside the truth. */
  constructor(real: MongoClient, hello: object = {}) {
    this.#hello = hello;
    this.client = wrap(real, { db: (name: string) => this.#db(real.db(name)) });
  }

  /** From here on operations are counted, and the fault strikes. */
  arm(fault: Fault): void {
    this.#fault = fault;
    this.#steps = 0;
  }

  /** From here on nothing is struck any more; who is dead stays dead. */
  disarm(): void {
    this.#fault = undefined;
  }

  /** Something that happens once, just before an operation on a collection is carried out. */
  meanwhile(operation: string, collection: string, happens: () => Promise<void>): void {
    this.#meanwhile = { operation, collection, happens };
  }

  /** Whether the fault has struck; if it hasn't, there were fewer operations. */
  get struck(): boolean {
    return this.#struck;
  }

  #db(real: Db): Db {
    return wrap(real, {
      admin: () => {
        const admin = real.admin();
        const command = async (asked: Document) => ({
          ...(await admin.command(asked)),
          ...("hello" in asked && this.#hello),
        });
        return wrap(admin, { command });
      },
      collection: (...args: Parameters<Db["collection"]>) => this.#collection(real.collection(...args)),
    });
  }

  #collection(real: Collection): Collection {
    const cursor = (name: "find" | "aggregate") => (first: never, options: never) => {
      const found = real[name](first, options);
      const toArray = found.toArray.bind(found);
      const read = async () => {
        await this.#letHappen(name, real.collectionName);
        return toArray();
      };
      return Object.assign(found, { toArray: () => this.#perform(read) });
    };
    const named = [...operations].map((name) => [
      name,
      (...args: unknown[]) =>
        this.#perform(async () => {
          await this.#letHappen(String(name), real.collectionName);
          return (real as unknown as Record<string | symbol, (...args: unknown[]) => Promise<unknown>>)[name]?.(
            ...args,
          );
        }),
    ]);
    return wrap(real, { ...Object.fromEntries(named), find: cursor("find"), aggregate: cursor("aggregate") });
  }

  async #letHappen(operation: string, collection: string): Promise<void> {
    const due = this.#meanwhile;
    if (due?.operation === operation && due.collection === collection) {
      this.#meanwhile = undefined;
      await due.happens();
    }
  }

  async #perform<T>(operation: () => Promise<T> | undefined): Promise<T | undefined> {
    if (this.#dead) {
      throw new MongoNetworkError("Injected: the process has ended");
    }
    if (this.#fault === undefined || this.#steps++ !== this.#fault.step) {
      return operation();
    }
    const { answerLost, crash } = this.#fault;
    this.#struck = true;
    this.#dead = crash;
    if (answerLost) {
      await operation();
    }
    throw new MongoNetworkError(answerLost ? "Injected: the answer was lost" : "Injected: nothing was sent");
  }
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
