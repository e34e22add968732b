import type { MongoClient } from "mongodb";
import type { TaskKey } from "../../domain/scope.ts";
import { type Logger, silentLogger } from "../../runtime/logger.ts";
import { checkStorageOptions } from "../check-arguments.ts";
import { checkedStorage } from "../checked-storage.ts";
import type { Retention, Storage, StorageOptions, StorageTraits } from "../storage.ts";
import type { OperationArgs, OperationName, OperationResult, StorageEngine } from "../storage-engine.ts";
import { claimMessage } from "./claims/claims.ts";
import type { MongoContext } from "./context.ts";
import * as conversationReads from "./conversations/conversation-reads.ts";
import { updateConversationAccess } from "./conversations/conversations.ts";
import * as messages from "./conversations/messages.ts";
import * as removal from "./lifetime/removal.ts";
import { advanceTask } from "./log/append.ts";
import { sendCommand } from "./log/commands.ts";
import { createTask } from "./log/create.ts";
import { listTasks } from "./log/list-tasks.ts";
import { readTask } from "./log/read-log.ts";
import { storeSnapshot } from "./log/snapshots.ts";
import { getTask, taskExists } from "./log/task-reads.ts";
import * as configs from "./push-notifications.ts";
import * as replicas from "./replicas/replicas.ts";
import { MongoSession } from "./session.ts";

export interface MongoStorageOptions extends StorageOptions {
  /** The database. Default: the one that the URL or the client names, or else "a2a". */
  readonly database?: string;
  /**
   * How much longer than its conversation's time what belongs to it stays. Default: as long as that time, two minutes
   * at least. Only tests want less.
   */
  readonly slackMs?: number;
  /** Gets what an operator should know, such as a job that keeps failing. Default: nothing is logged. */
  readonly logger?: Logger;
}

/**
 * Opens a storage in a MongoDB database, from version 6.0 on, for any number of processes at once. Durable: what it
 * acknowledges is held by a majority of the replica set. Conversations expire by themselves. A watch is called with no
 * keys at all when it may have missed some. A client that is handed in stays open when the storage is closed.
 * Throws `StorageError`: "invalid" for options and URLs it can't use, a server that is too old, or a database of a
 * newer release; "unavailable" if no server can be reached.
 */
export async function createMongoStorage(
  urlOrClient: string | MongoClient,
  options: MongoStorageOptions = {},
): Promise<Storage> {
  const { database, slackMs, logger = silentLogger } = options;
  const session = await MongoSession.open(urlOrClient, { ...checkStorageOptions(options), database, slackMs, logger });
  return checkedStorage(new MongoEngine(session));
}

/** Runs operations in a session. */
class MongoEngine implements StorageEngine {
  readonly traits: StorageTraits = { durable: true, shared: true, expiry: "native", wakeUps: "push" };
  readonly #session: MongoSession;

  constructor(session: MongoSession) {
    this.#session = session;
  }

  setRetention(retention: Retention): void {
    this.#session.setRetention(retention);
  }

  call<Name extends OperationName>(name: Name, args: OperationArgs<Name>): Promise<OperationResult<Name>> {
    const { kind, run } = operations[name];
    return this.#session.run(kind, (context) => run(context, args));
  }

  watch(replica: string, wake: (keys: readonly TaskKey[]) => void): AsyncDisposable {
    return this.#session.inbox.watch(replica, wake);
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): Promise<void> {
    const { inbox } = this.#session;
    return this.#session.run("write", () => inbox.wake(replicas, keys));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.#session.close();
  }
}

/** The outcome of a write is unknown if its answer is lost; a read changes nothing. */
interface MongoOperation<Args, Result> {
  readonly kind: "read" | "write";
  readonly run: (context: MongoContext, args: Args) => Promise<Result>;
}

function read<Args, Result>(run: MongoOperation<Args, Result>["run"]): MongoOperation<Args, Result> {
  return { kind: "read", run };
}

function write<Args, Result>(run: MongoOperation<Args, Result>["run"]): MongoOperation<Args, Result> {
  return { kind: "write", run };
}

const operations: {
  readonly [Name in OperationName]: MongoOperation<OperationArgs<Name>, OperationResult<Name>>;
} = {
  appendTask: write((context, { key, append }) =>
    append.create === undefined ? advanceTask(context, key, append) : createTask(context, key, append, append.create),
  ),
  getTask: read((context, { key, snapshotLogBytesMax }) => getTask(context, key, snapshotLogBytesMax)),
  readTask: read((context, { key, after, bytesMax }) => readTask(context, key, after, bytesMax)),
  taskExists: read((context, { key }) => taskExists(context, key)),
  listTasks: read((context, { query }) => listTasks(context, query)),
  storeSnapshot: write((context, { key, snapshot }) => storeSnapshot(context, key, snapshot)),
  deleteTask: write((context, { key }) => removal.deleteTask(context, key)),
  sendCommand: write((context, { key, command }) => sendCommand(context, key, command)),

  getMessages: read((context, { scope, messageIds }) => messages.getMessages(context, scope, messageIds)),
  listMessages: read((context, { scope, contextId, limit }) => messages.listMessages(context, scope, contextId, limit)),
  listMessagePage: read((context, { scope, contextId, ...page }) =>
    messages.listMessagePage(context, scope, contextId, page),
  ),
  storeMessages: write((context, { scope, messages: stored, settle }) =>
    messages.storeMessages(context, scope, stored, settle),
  ),
  deleteMessage: write((context, { scope, messageId }) => messages.deleteMessage(context, scope, messageId)),
  claimMessage: write((context, { scope, claim }) => claimMessage(context, scope, claim)),

  storeConversation: write((context, { scope, conversation }) =>
    messages.storeConversation(context, scope, conversation),
  ),
  getConversation: read((context, { scope, contextId }) => messages.getConversation(context, scope, contextId)),
  listConversations: read((context, { scope, page }) => conversationReads.listConversations(context, scope, page)),
  updateConversationAccess: write((context, { scope, contextId }) =>
    updateConversationAccess(context, scope, contextId),
  ),
  deleteConversation: write((context, { scope, contextId }) => removal.deleteConversation(context, scope, contextId)),
  getExpiredConversations: read((context, { maxAgeMs, limit, scope }) =>
    removal.getExpiredConversations(context, maxAgeMs, limit, scope),
  ),
  cleanupExpiredConversations: write((context, { maxAgeMs, scope }) =>
    removal.cleanupExpiredConversations(context, maxAgeMs, scope),
  ),
  getConversationStats: read((context, { scope }) => conversationReads.getConversationStats(context, scope)),

  storePushNotification: write((context, { key, configId, bytes }) =>
    configs.storePushNotification(context, key, configId, bytes),
  ),
  getPushNotification: read((context, { key, configId }) => configs.getPushNotification(context, key, configId)),
  listPushNotifications: read((context, { key }) => configs.listPushNotifications(context, key)),
  deletePushNotification: write((context, { key, configId }) => configs.deletePushNotification(context, key, configId)),

  register: write((context, { replica }) => replicas.register(context, replica)),
  heartbeat: write((context, { replica }) => replicas.heartbeat(context, replica)),
  deregister: write((context, { replica, counter }) => replicas.deregister(context, replica, counter)),
  listReplicas: read((context) => replicas.listReplicas(context)),
  listRunners: read((context, { after, limit }) => replicas.listRunners(context, after, limit)),
  claimTasks: read((context, { claim }) => replicas.claimTasks(context, claim)),
};
