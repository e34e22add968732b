import { Binary, type Timestamp } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { ConversationHistory, MessageClaim, MessagePlace } from "../../storage.ts";
import type { EncodedMessage, OperationArgs, StoredMessage, StoredMessagePage } from "../../storage-engine.ts";
import { settleClaim } from "../claims/claims.ts";
import { insertOrReplace } from "../claims/unstored-messages.ts";
import { belongingOf, expiryOf, type MongoContext } from "../context.ts";
import { allOf } from "../errors.ts";
import { bareMessageKey, messageKey, nameOf, newId } from "../keys.ts";
import { messagesReadAtOnce } from "../limits.ts";
import type { MessageRecord } from "../records.ts";
import type { Touch } from "./conversation-pipelines.ts";
import { ensureConversation, findConversation } from "./conversations.ts";
import { locate, type Pointer, readMessages } from "./history.ts";
import { deletePointers, findPointers, findPointersByKey, type KeyedPointer, walkPointers } from "./pointer-queries.ts";
import { now } from "./pointers.ts";
import { trimIfLong, trimmed } from "./trim.ts";

/** Messages of one id that are read at once. There is nearly always one. */
const sameIdPage = 8;
/** Ids that are looked up at once. */
const lookupsAtOnce = 16;
/** Pointers that are read at once when the call has no limit. */
const pointerPage = 200;

/**
 * Stores messages without a task. Their conversations are touched first, which gives each message its time and
 * sequence. A claim is settled next: its record decides, and holds the messages until they are stored.
 */
export async function storeMessages(
  context: MongoContext,
  scope: Scope,
  messages: readonly EncodedMessage[],
  settle: MessageClaim | undefined,
): Promise<void> {
  // If several messages of one conversation have the same id, the last one is stored.
  const encoded = new Map<string, Map<string, Uint8Array>>();
  for (const { messageId, contextId, bytes } of messages) {
    const of = encoded.get(contextId) ?? new Map<string, Uint8Array>();
    of.delete(messageId);
    encoded.set(contextId, of.set(messageId, bytes));
  }
  const places = await allOf([...encoded].map(([contextId, of]) => placeInConversation(context, scope, contextId, of)));
  const records = places.flatMap((place) => place.records);
  const last = messages.at(-1);
  const parent = places[last === undefined ? -1 : [...encoded.keys()].indexOf(last.contextId)]?.touched;
  if (settle !== undefined && parent !== undefined && last !== undefined) {
    const { _id: conversation, incarnation } = parent;
    await settleClaim(context, scope, settle, { conversation, incarnation }, { answer: last.bytes, messages: records });
  } else if (records.length > 0) {
    await insertOrReplace(context, records);
  }
  for (const { touched } of places) {
    trimIfLong(context, touched);
  }
}

/** Touches a conversation and gives messages their places in it. */
async function placeInConversation(
  context: MongoContext,
  scope: Scope,
  contextId: string,
  messages: ReadonlyMap<string, Uint8Array>,
) {
  const touch: Touch = { access: "now", messageCount: messages.size, stored: messages.size, token: newId() };
  const { record } = await ensureConversation(context, scope, contextId, touch);
  const { _id: conversation, incarnation, lastAccess, stored, covered } = record;
  const expiry = expiryOf(context, { running: false, covered });
  const records = Array.from(
    messages,
    ([messageId, bytes], index): MessageRecord => ({
      _id: bareMessageKey(incarnation, messageId),
      key: messageKey(scope, messageId),
      messageId,
      conversation,
      contextId,
      time: lastAccess.getTime(),
      taskId: "",
      sequence: stored - messages.size + index + 1,
      bytes: new Binary(bytes),
      at: now,
      ...belongingOf(incarnation, expiry),
    }),
  );
  return { records, touched: record };
}

export async function getMessages(
  context: MongoContext,
  scope: Scope,
  messageIds: readonly string[],
): Promise<readonly StoredMessage[]> {
  const found: (StoredMessage | undefined)[] = [];
  for (let at = 0; at < messageIds.length; at += lookupsAtOnce) {
    const some = messageIds.slice(at, at + lookupsAtOnce);
    found.push(...(await allOf(some.map((id) => getMessage(context, messageKey(scope, id))))));
  }
  return found.filter((message) => message !== undefined);
}

async function getMessage(context: MongoContext, key: Binary): Promise<StoredMessage | undefined> {
  for (let before: Timestamp | undefined; ; ) {
    const pointers = await findTrimmed(context, key, before, sameIdPage);
    const messages = await readMessages(context, pointers);
    const message = messages.find((one) => one !== undefined);
    if (message !== undefined || pointers.length < sameIdPage) {
      return message;
    }
    before = pointers.at(-1)?.at;
  }
}

/** The pointers of a message id, after the histories that contain them were trimmed. */
async function findTrimmed(
  context: MongoContext,
  key: Binary,
  before: Timestamp | undefined,
  limit: number,
): Promise<readonly KeyedPointer[]> {
  const pointers = await findPointersByKey(context, key, before, limit);
  const long = new Map(
    pointers
      .filter(({ parent }) => parent.messageCount > context.maxHistoryLength)
      .map(({ parent }) => [nameOf(parent._id), parent]),
  );
  if (long.size === 0) {
    return pointers;
  }
  await Promise.all(Array.from(long.values(), (parent) => trimmed(context, parent)));
  return findPointersByKey(context, key, before, limit);
}

export async function deleteMessage(context: MongoContext, scope: Scope, messageId: string): Promise<boolean> {
  const key = messageKey(scope, messageId);
  let deleted = false;
  for (let before: Timestamp | undefined; ; ) {
    const pointers = await findTrimmed(context, key, before, pointerPage);
    const found = await locate(context, pointers);
    deleted ||= found.some(({ at }) => at === "log" || at === "own");
    await deletePointers(context, pointers);
    before = pointers.at(-1)?.at;
    if (pointers.length < pointerPage) {
      return deleted;
    }
  }
}

export async function listMessages(
  context: MongoContext,
  scope: Scope,
  contextId: string,
  limit: number | undefined,
): Promise<readonly StoredMessage[]> {
  const conversation = await findConversation(context, scope, contextId);
  const most = Math.min(limit ?? Number.POSITIVE_INFINITY, context.maxHistoryLength);
  if (conversation === undefined || most === 0) {
    return [];
  }
  await trimmed(context, conversation);
  const pointers = await newestPointers(context, conversation.incarnation, most);
  return (await readMessages(context, pointers)).filter((message) => message !== undefined);
}

/** The newest pointers whose messages are in the history, oldest first. */
async function newestPointers(context: MongoContext, incarnation: Binary, most: number): Promise<readonly Pointer[]> {
  const pointers: Pointer[] = [];
  await walkPointers(
    context,
    incarnation,
    { direction: "down", page: Math.min(most, pointerPage) },
    (pointer, { at }) => {
      if (at === "log" || at === "own") {
        pointers.push(pointer);
      }
      return pointers.length < most;
    },
  );
  return pointers.reverse();
}

export async function listMessagePage(
  context: MongoContext,
  scope: Scope,
  contextId: string,
  { after, newest, limit, bytesMax }: Pick<OperationArgs<"listMessagePage">, "after" | "newest" | "limit" | "bytesMax">,
): Promise<StoredMessagePage> {
  const conversation = await findConversation(context, scope, contextId);
  if (conversation === undefined) {
    return { messages: [] };
  }
  await trimmed(context, conversation);
  const pointers =
    after === undefined && newest !== undefined
      ? await newestPointers(context, conversation.incarnation, Math.min(newest, context.maxHistoryLength))
      : await pointersAfter(context, conversation.incarnation, after, limit);
  const messages: StoredMessage[] = [];
  let bytes = 0;
  let end = 0;
  // Few are read beyond those that fit.
  while (end < Math.min(limit, pointers.length)) {
    const some = pointers.slice(end, Math.min(limit, end + messagesReadAtOnce));
    for (const message of await readMessages(context, some)) {
      bytes += message?.bytes.byteLength ?? 0;
      if (messages.length > 0 && bytes > bytesMax) {
        return { messages, next: placeOf(pointers[end - 1] as Pointer) };
      }
      if (message !== undefined) {
        messages.push(message);
      }
      end += 1;
    }
  }
  const last = end < pointers.length ? pointers[end - 1] : undefined;
  return { messages, ...(last !== undefined && { next: placeOf(last) }) };
}

function placeOf({ time, taskId, sequence }: Pointer): MessagePlace {
  return { timeMs: time, taskId, sequence: BigInt(sequence) };
}

/** The pointers after a place whose messages are in the history. One more than the limit, to see if there are more. */
async function pointersAfter(
  context: MongoContext,
  incarnation: Binary,
  after: MessagePlace | undefined,
  limit: number,
): Promise<readonly Pointer[]> {
  const pointers: Pointer[] = [];
  const from =
    after === undefined ? undefined : { time: after.timeMs, taskId: after.taskId, sequence: Number(after.sequence) };
  await walkPointers(
    context,
    incarnation,
    { direction: "up", after: from, page: Math.min(limit + 1, pointerPage) },
    (pointer, { at }) => {
      if (at === "log" || at === "own") {
        pointers.push(pointer);
      }
      return pointers.length <= limit;
    },
  );
  return pointers;
}

export async function getConversation(
  context: MongoContext,
  scope: Scope,
  contextId: string,
): Promise<ConversationHistory | undefined> {
  const conversation = await findConversation(context, scope, contextId);
  if (conversation === undefined) {
    return undefined;
  }
  await trimmed(context, conversation);
  const pointers = await newestPointers(context, conversation.incarnation, context.maxHistoryLength);
  return { contextId, messageIds: pointers.map(({ messageId }) => messageId), lastAccessTime: conversation.lastAccess };
}

export async function storeConversation(
  context: MongoContext,
  scope: Scope,
  { contextId, messageIds, lastAccessTime }: ConversationHistory,
): Promise<void> {
  const touch = { access: lastAccessTime, token: newId() };
  const { record, made } = await ensureConversation(context, scope, contextId, touch);
  if (made) {
    // Nothing refers to its incarnation yet.
    return;
  }
  await trimmed(context, record);
  const kept = new Set(messageIds);
  let after: Pointer | undefined;
  do {
    const pointers: readonly Pointer[] = await findPointers(context, record.incarnation, {
      direction: "up",
      after,
      limit: pointerPage,
    });
    await deletePointers(
      context,
      pointers.filter(({ messageId }) => !kept.has(messageId)),
    );
    after = pointers.length < pointerPage ? undefined : pointers.at(-1);
  } while (after !== undefined);
}
