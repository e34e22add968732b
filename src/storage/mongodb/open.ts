import { type Db, MongoClient } from "mongodb";
import type { Logger } from "../../runtime/logger.ts";
import { StorageError } from "../storage-error.ts";
import { storageError } from "./errors.ts";
import { heartbeatMs, inboxSelectionMs, serverSelectionMs, socketTimeoutMs } from "./limits.ts";

/** The oldest server that has the pipelines and majority reads that this engine needs. */
const serverMajorMin = 6;
const databaseDefault = "a2a";

export interface OpenedMongo {
  readonly db: Db;
  /** The client of `db`. */
  readonly client: MongoClient;
  /** The read concern that shows every acknowledged write. A single server without a replica set has only one. */
  readonly latestLevel: "linearizable" | "majority";
  /** The driver hears of each election, unless it talks to `mongos`. A single server has none. */
  readonly electionsReported: boolean;
  /**
   * The database through a client of its own, for tailed cursors. They need to notice a new primary before calls give
   * up.
   */
  readonly inboxDb: Db;
  /** Closes the clients that this module created. */
  close(): Promise<void>;
}

/** Connects. Throws "invalid" for a server on which the promises of the port can't be kept. */
export async function openMongo(
  urlOrClient: string | MongoClient,
  database: string | undefined,
  logger: Logger,
): Promise<OpenedMongo> {
  const made: MongoClient[] = [];
  const close = async () => {
    await Promise.all(made.map((client) => client.close()));
  };
  try {
    const client = typeof urlOrClient === "string" ? makeClient(urlOrClient, serverSelectionMs) : urlOrClient;
    const inbox = typeof urlOrClient === "string" ? makeClient(urlOrClient, inboxSelectionMs) : urlOrClient;
    made.push(...new Set([client, inbox].filter((one) => one !== urlOrClient)));
    checkOptions(client);
    const name = database ?? (typeof urlOrClient === "string" ? databaseIn(urlOrClient) : client.options.dbName);
    const db = client.db(name);
    const { inSet, behindMongos } = await checkServer(db, logger);
    const latestLevel = inSet ? "linearizable" : "majority";
    return { db, client, latestLevel, electionsReported: !behindMongos, inboxDb: inbox.db(name), close };
  } catch (error) {
    await close();
    throw storageError(error, "read", false);
  }
}

function makeClient(url: string, serverSelectionTimeoutMS: number): MongoClient {
  try {
    // The URL is checked for these options first: options of the call override those of the URL.
    const given = new URL(url.replace(/^mongodb(\+srv)?:\/\/[^/?]*/, "http://host")).searchParams;
    const has = (name: string) => [...given.keys()].some((key) => key.toLowerCase() === name.toLowerCase());
    return new MongoClient(url, {
      ...(!has("serverSelectionTimeoutMS") && { serverSelectionTimeoutMS }),
      ...(!has("connectTimeoutMS") && { connectTimeoutMS: serverSelectionTimeoutMS }),
      ...(!has("heartbeatFrequencyMS") && { heartbeatFrequencyMS: heartbeatMs }),
      ...(!has("socketTimeoutMS") && { socketTimeoutMS: socketTimeoutMs }),
      ...(!has("appName") && { appName: "a2a-task-manager" }),
    });
  } catch (error) {
    // The driver's own message may contain the URL with its password.
    throw new StorageError("invalid", "The MongoDB URL is malformed or has an unknown option", { cause: error });
  }
}

/** A URL that asks for weaker guarantees is refused, because the engine would silently override them. */
function checkOptions({ options }: MongoClient): void {
  const { writeConcern, readConcern, readPreference } = options;
  const wrong: string[] = [];
  if (writeConcern?.w !== undefined && writeConcern.w !== "majority") {
    wrong.push(`w=${writeConcern.w} (a majority must have each write)`);
  }
  if (writeConcern?.journal === false) {
    wrong.push("journal=false (acknowledged writes must survive a crash)");
  }
  if (readConcern !== undefined && readConcern.level !== "majority") {
    wrong.push(`readConcernLevel=${readConcern.level} (only writes that a majority has may be read)`);
  }
  if (readPreference !== undefined && readPreference.mode !== "primary") {
    wrong.push(`readPreference=${readPreference.mode} (a secondary may be behind)`);
  }
  if (wrong.length > 0) {
    throw new StorageError("invalid", `The MongoDB URL or client asks for ${wrong.join(", ")}. Remove these options`);
  }
}

/** Whether the server is in a replica set, and whether it is so behind `mongos`. */
async function checkServer(
  db: Db,
  logger: Logger,
): Promise<{ readonly inSet: boolean; readonly behindMongos: boolean }> {
  // One after the other: when both wait for a server in vain, the first to fail may only report that the other failed.
  const { version } = await db.admin().command({ buildInfo: 1 });
  const hello = await db.admin().command({ hello: 1 });
  if (!(Number.parseInt(String(version), 10) >= serverMajorMin)) {
    throw new StorageError(
      "invalid",
      `The MongoDB server has version ${version}, but at least ${serverMajorMin}.0 is required`,
    );
  }
  const behindMongos = hello.msg === "isdbgrid";
  const inSet = hello.setName !== undefined || behindMongos;
  if (!inSet) {
    logger.warn(
      { version },
      "The MongoDB server is in no replica set: acknowledged writes are lost with its disk, and the driver doesn't " +
        "retry interrupted writes. Start mongod with --replSet, even for one node",
    );
  }
  return { inSet, behindMongos };
}

/** The database in the path of a URL. */
function databaseIn(url: string): string {
  const name = /^[^:]+:\/\/[^/?]+\/([^?]*)/.exec(url)?.[1];
  return name === undefined || name === "" ? databaseDefault : decodeURIComponent(name);
}
