import type { Message } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { batchEntriesMax, entryBytesMax, idBytesMax } from "../domain/limits.ts";
import type { Scope, TaskKey } from "../domain/scope.ts";
import type {
  ConversationHistory,
  HeaderUpdate,
  MessageClaim,
  MessagePlace,
  PageQuery,
  Retention,
  Snapshot,
  StorageOptions,
  TaskAppend,
  TaskCommand,
  TaskQuery,
} from "./storage.ts";
import { StorageError } from "./storage-error.ts";

/**
 * The rules of `Storage` that do not depend on what is stored. `checkedStorage` checks them before it calls an engine,
 * so all engines refuse the same calls. Each function throws `StorageError` "invalid" if a rule is broken.
 */

/** The longest id of a batch, in characters. The bound lets engines use a column of fixed width. */
const batchIdLengthMax = 64;
/** The largest sequence, counter or fence: what a signed 64-bit column holds. */
const int64Max = 2n ** 63n - 1n;

/** An id: not empty, at most 256 bytes of UTF-8. `what` names it in the error. */
export function checkId(what: string, id: string): void {
  if (id === "") {
    throw invalid(`The ${what} is empty`);
  }
  checkName(what, id);
}

/** Both parts may be empty, but not longer than an id. */
export function checkScope(scope: Scope): void {
  checkName("tenant", scope.tenant);
  checkName("owner", scope.owner);
}

export function checkTaskKey(key: TaskKey): void {
  checkScope(key);
  checkId("task id", key.taskId);
}

/** A conversation's key as most calls give it: a scope and a context id. */
export function checkContext(scope: Scope, contextId: string): void {
  checkScope(scope);
  checkId("context id", contextId);
}

/** A message's key as most calls give it: a scope and a message id. */
export function checkMessageKey(scope: Scope, messageId: string): void {
  checkScope(scope);
  checkId("message id", messageId);
}

export function checkTaskAppend(key: TaskKey, append: TaskAppend): void {
  checkTaskKey(key);
  checkCondition(append);
  checkBatch(append.batch);
  checkHeader(append.header);
  checkPointers(append);
  for (const id of append.handled) {
    checkId("command id", id);
  }
  if (append.create !== undefined) {
    checkId("context id", append.create.contextId);
    if (append.create.claim !== undefined) {
      checkClaim(append.create.claim);
      if (append.create.claim.taskId !== key.taskId) {
        throw invalid("The claim of a task to be created names another task");
      }
    }
    if (append.header.summary === undefined) {
      throw invalid("A task to be created has no summary");
    }
  }
}

export function checkClaim(claim: MessageClaim): void {
  checkId("message id", claim.messageId);
  checkId("content hash", claim.contentHash);
  checkId("task id", claim.taskId);
  if (!Number.isFinite(claim.windowMs) || claim.windowMs < 0) {
    throw invalid("The window of a claim is not a number of milliseconds");
  }
}

/** The size of a page, or the number of results of another call: a whole number from 1. */
export function checkLimit(limit: number): void {
  if (!Number.isSafeInteger(limit) || limit < 1) {
    throw invalid(`The limit ${limit} is not a positive whole number`);
  }
}

/** The number of newest messages. -1 and undefined mean all; undefined is returned for both. */
export function checkHistoryLimit(limit: number | undefined): number | undefined {
  if (limit === undefined || limit === -1) {
    return undefined;
  }
  if (!Number.isSafeInteger(limit) || limit < 0) {
    throw invalid(`The limit ${limit} is neither -1 nor a whole number`);
  }
  return limit;
}

/** A number of bytes or milliseconds. Infinity is allowed. */
export function checkAmount(what: string, amount: number): void {
  if (Number.isNaN(amount) || amount < 0) {
    throw invalid(`The ${what} ${amount} is not an amount`);
  }
}

/** A moment in whole milliseconds since the epoch. */
export function checkTime(what: string, timeMs: number): void {
  if (!Number.isSafeInteger(timeMs)) {
    throw invalid(`The ${what} is not a whole number of milliseconds`);
  }
}

/** A sequence, head, counter or fence. */
export function checkSequence(what: string, sequence: bigint): void {
  if (sequence < 0n || sequence > int64Max) {
    throw invalid(`The ${what} is out of range`);
  }
}

export function checkMessagePage(after: MessagePlace | undefined, limit: number): void {
  checkLimit(limit);
  if (after !== undefined) {
    checkTime("time of a message", after.timeMs);
    checkName("task id", after.taskId);
    checkSequence("sequence", after.sequence);
  }
}

/** An encoded record that a storage keeps in one piece. It may be as large as an entry. */
export function checkBytes(what: string, bytes: Uint8Array): void {
  if (bytes.byteLength > entryBytesMax) {
    throw invalid(`The ${what} has ${bytes.byteLength} bytes, more than ${entryBytesMax}`);
  }
}

export function checkRetention({ conversationTtlMs, interruptedTtlMs }: Retention): void {
  checkAmount("time to live", Math.min(conversationTtlMs, interruptedTtlMs));
}

export function checkTaskQuery(query: TaskQuery): void {
  checkScope(query.scope);
  checkLimit(query.limit);
  if (query.contextId !== undefined) {
    checkId("context id", query.contextId);
  }
  if (query.state !== undefined) {
    checkState(query.state);
  }
  if (query.statusTimeMsMin !== undefined) {
    checkTime("least status time", query.statusTimeMsMin);
  }
  if (query.after !== undefined) {
    checkTime("status time", query.after.statusTimeMs);
    checkId("task id", query.after.taskId);
  }
}

export function checkPageQuery(page: PageQuery): void {
  checkLimit(page.limit);
  if (page.after !== undefined) {
    checkTime("last access", page.after.lastAccessMs);
    checkId("context id", page.after.contextId);
  }
}

export function checkSnapshot(key: TaskKey, snapshot: Snapshot): void {
  checkTaskKey(key);
  checkSequence("sequence", snapshot.sequence);
}

export function checkCommand(key: TaskKey, command: TaskCommand): void {
  checkTaskKey(key);
  checkId("command id", command.id);
  checkBytes("command", command.bytes);
}

/** The arguments of `storeMessages`: at most 256 messages, and at least one if there is a claim to settle. */
export function checkMessages(scope: Scope, messages: readonly Message[], settle: MessageClaim | undefined): void {
  checkScope(scope);
  if (messages.length > batchEntriesMax) {
    throw invalid(`${messages.length} messages at once; ${batchEntriesMax} are allowed`);
  }
  for (const message of messages) {
    checkId("message id", message.messageId);
    checkId("context id", message.contextId);
  }
  if (settle !== undefined) {
    checkClaim(settle);
    if (messages.length === 0) {
      throw invalid("A claim is settled with a message, and there is none");
    }
  }
}

export function checkConversation(scope: Scope, conversation: ConversationHistory): void {
  checkContext(scope, conversation.contextId);
  checkTime("last access", conversation.lastAccessTime.getTime());
  for (const id of conversation.messageIds) {
    checkId("message id", id);
  }
}

/** The arguments of the calls about expired conversations: an age, and a scope or none. */
export function checkExpired(maxAgeMs: number, scope: Scope | undefined): void {
  checkAmount("age", maxAgeMs);
  checkOptionalScope(scope);
}

export function checkOptionalScope(scope: Scope | undefined): void {
  if (scope !== undefined) {
    checkScope(scope);
  }
}

/** A push notification config's key as most calls give it: a task's key and the id of the config. */
export function checkConfigKey(key: TaskKey, configId: string): void {
  checkTaskKey(key);
  checkId("config id", configId);
}

export function checkReplicas(replicas: readonly string[]): void {
  for (const replica of replicas) {
    checkId("replica", replica);
  }
}

/** The options with their defaults filled in. */
export function checkStorageOptions(options: StorageOptions | undefined): Required<Omit<StorageOptions, "logger">> {
  const { maxHistoryLength = 100, prefix = "a2a_" } = options ?? {};
  if (!Number.isSafeInteger(maxHistoryLength) || maxHistoryLength < 1) {
    throw invalid(`The history length ${maxHistoryLength} is not a positive whole number`);
  }
  // 32 leaves room for the rest of a table's or an index's name under PostgreSQL's 63 characters.
  if (!/^[A-Za-z0-9_]{0,32}$/.test(prefix)) {
    throw invalid(
      `The prefix "${prefix}" holds something other than letters, digits and underscores, or more than 32 of them`,
    );
  }
  return { maxHistoryLength, prefix };
}

function checkName(what: string, name: string): void {
  // A character takes at most 3 bytes per UTF-16 unit, so short ids need no counting.
  if (name.length * 3 > idBytesMax && Buffer.byteLength(name) > idBytesMax) {
    throw invalid(`The ${what} has more than ${idBytesMax} bytes`);
  }
  // A lone surrogate has no UTF-8: encoders make the same replacement character of all of them, and two ids would
  // become one.
  if (!name.isWellFormed()) {
    throw invalid(`The ${what} is not well-formed Unicode`);
  }
}

function checkCondition(append: TaskAppend): void {
  const { head, batch, fence } = append.after;
  checkSequence("head", head);
  checkSequence("fence", fence);
  if (append.header.fence < fence) {
    throw invalid("The fence of a task never falls");
  }
  const nothing = head === 0n && batch === "" && fence === 0n;
  if (nothing !== (append.create !== undefined) || (!nothing && (head === 0n || batch === ""))) {
    throw invalid("A task is created after head 0, an empty batch id and fence 0, and only then");
  }
}

function checkBatch(batch: TaskAppend["batch"]): void {
  checkId("batch id", batch.id);
  if (batch.id.length > batchIdLengthMax) {
    throw invalid(`The batch id has more than ${batchIdLengthMax} characters`);
  }
  if (batch.entries.length < 1 || batch.entries.length > batchEntriesMax) {
    throw invalid(`A batch of ${batch.entries.length} entries; 1 to ${batchEntriesMax} are allowed`);
  }
  for (const entry of batch.entries) {
    checkBytes("entry", entry);
  }
}

function checkHeader(header: HeaderUpdate): void {
  checkState(header.state);
  checkTime("status time", header.statusTimeMs);
  checkName("replica", header.replica);
  checkSequence("fence", header.fence);
  if (header.summary !== undefined) {
    checkBytes("summary", header.summary);
  }
}

/** Any number of the enum: a later release of A2A may have more states than this one. */
function checkState(state: number): void {
  if (!Number.isInteger(state) || state < 0) {
    throw invalid(`${state} is not a task state`);
  }
}

function checkPointers({ messages, batch }: TaskAppend): void {
  for (const { messageId, timeMs, index } of messages) {
    checkId("message id", messageId);
    checkTime("time of a message", timeMs);
    if (!Number.isInteger(index) || index < 0 || index >= batch.entries.length) {
      throw invalid(`A message is said to be in entry ${index} of a batch of ${batch.entries.length}`);
    }
  }
  // An entry brings one message, and its place in the history is its sequence: a second one would take the same place.
  if (messages.length > 1 && new Set(messages.map(({ index }) => index)).size < messages.length) {
    throw invalid("Two messages are said to be in one entry");
  }
}

function invalid(message: string): StorageError {
  return new StorageError("invalid", message);
}
