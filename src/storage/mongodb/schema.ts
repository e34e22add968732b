import type { CreateIndexesOptions, Db, IndexDescription, IndexSpecification } from "mongodb";
import { MongoServerError, Timestamp } from "mongodb";
import { StorageError } from "../storage-error.ts";
import type { MongoCollections } from "./context.ts";
import { isDuplicateKey } from "./errors.ts";
import { inboxBytes } from "./limits.ts";

/** The schema version that this release creates, and the oldest release version that can use it. */
const version = 1;
const readableBy = 1;

const namespaceExists = 48;

/** A TTL index: MongoDB removes a record after the time in this field. */
const ttl: Index = [{ expireAt: 1 }, { expireAfterSeconds: 0 }];
const byIncarnation: Index = [{ incarnation: 1 }];

type Index = readonly [keys: IndexSpecification, options?: CreateIndexesOptions];
type Indexed = Exclude<keyof MongoCollections, "batchPieces" | "schema">;

/** The indexes of each collection beside `_id`. None is unique: what must be unique is an `_id`. */
const indexes: { readonly [collection in Indexed]: readonly Index[] } = {
  tasks: [
    ttl,
    [{ scope: 1, statusTime: -1, taskId: -1 }],
    [{ scope: 1, state: 1, statusTime: -1, taskId: -1 }],
    // Also used by operations on all tasks of a conversation.
    [{ incarnation: 1, state: 1, statusTime: -1, taskId: -1 }],
    [{ incarnation: 1, "first.time": 1, taskId: 1, "first.sequence": 1 }],
    [{ "first.key": 1, at: -1 }],
    [{ incarnation: 1, "last.time": 1, taskId: 1, "last.sequence": 1 }],
    [{ "last.key": 1, "last.at": -1 }],
    [{ runner: 1, _id: 1 }, { partialFilterExpression: { runner: { $exists: true } } }],
  ],
  segments: [ttl, byIncarnation],
  snapshots: [ttl, byIncarnation],
  messages: [ttl, [{ incarnation: 1, time: 1, taskId: 1, sequence: 1 }], [{ key: 1, at: -1 }]],
  conversations: [ttl, [{ scope: 1, lastAccess: -1, contextId: 1 }], [{ lastAccess: 1 }]],
  pushNotifications: [ttl, byIncarnation],
  claims: [ttl],
  replicas: [],
  removals: [[{ at: 1 }], [{ of: 1 }]],
};

/**
 * Creates missing collections and indexes. Throws "invalid" for a database of a newer release that this one can't
 * use.
 */
export async function prepareSchema(db: Db, collections: MongoCollections, prefix: string): Promise<void> {
  await checkVersion(collections);
  await Promise.all([
    ...Object.entries(indexes).map(([name, of]) => createIndexes(collections, name as Indexed, of)),
    createInbox(db, inboxName(prefix)),
  ]);
  await raiseVersion(collections);
}

export function inboxName(prefix: string): string {
  return `${prefix}wakeups`;
}

async function createIndexes(collections: MongoCollections, name: Indexed, of: readonly Index[]): Promise<void> {
  if (of.length > 0) {
    const descriptions = of.map(([key, options]) => ({ key, ...options }) as IndexDescription);
    await collections[name].createIndexes(descriptions);
  }
}

/** Capped, and never empty: a tailable cursor on an empty collection ends instead of waiting. */
async function createInbox(db: Db, name: string): Promise<void> {
  try {
    await db.createCollection(name, { capped: true, size: inboxBytes });
  } catch (error) {
    if (!(error instanceof MongoServerError && error.code === namespaceExists)) {
      throw error;
    }
  }
  const inbox = db.collection(name);
  if ((await inbox.findOne({}, { projection: { _id: 1 } })) === null) {
    await inbox.insertOne({ to: [], keys: [], at: new Timestamp({ t: 0, i: 0 }) });
  }
}

async function checkVersion({ schema }: MongoCollections): Promise<void> {
  const found = await schema.findOne({ _id: "schema" });
  if (found !== null && found.readableBy > version) {
    const { version: theirs, readableBy: needed } = found;
    throw new StorageError(
      "invalid",
      `The database has schema version ${theirs} and needs a release of schema version ${needed} or later. ` +
        `This release has schema version ${version}`,
    );
  }
}

/** The record of a newer release that this one can run beside is left as it is. */
async function raiseVersion({ schema }: MongoCollections): Promise<void> {
  try {
    await schema.updateOne(
      { _id: "schema", version: { $lt: version } },
      { $set: { version, readableBy } },
      { upsert: true },
    );
  } catch (error) {
    if (!isDuplicateKey(error)) {
      throw error;
    }
  }
}
