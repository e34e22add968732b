import type { MessagePlace } from "../../storage.ts";
import type { OperationArgs, StoredMessage, StoredMessagePage } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { type EntryRange, entryRanges } from "../entry-batch.ts";
import { messagesReadAtOnce } from "../limits.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { EntryPlace, FoundMessage, MessageRow, SegmentRow, Tables } from "../tables.ts";
import { findHeld, settleClaim } from "./claims.ts";
import { ensureConversation, findConversation } from "./conversations.ts";
import { addMessages, removeMessages } from "./history.ts";

export function* storeMessages(
  tables: Tables,
  { scope, messages, settle }: OperationArgs<"storeMessages">,
  at: Moment,
): Steps<void> {
  for (const [index, { messageId, contextId, bytes }] of messages.entries()) {
    const { id, messageCount } = yield* ensureConversation(tables, scope, contextId, at);
    // A caller that doesn't know the outcome stores a message again; the history must not hold it twice.
    const equal = yield* step(tables.messagesWithoutTask(scope, id, messageId));
    if (equal.length > 0) {
      yield* removeMessages(tables, id, equal);
    }
    const message = { messageId, timeMs: at.nowMs, source: { bytes } };
    yield* addMessages(tables, scope, { id, messageCount: messageCount - equal.length }, [message], at);
    if (settle !== undefined && index === messages.length - 1) {
      const held = yield* findHeld(tables, scope, settle, at);
      yield* settleClaim(tables, scope, settle, held, { conversation: id, answer: bytes }, at);
    }
  }
}

export function* deleteMessage(
  tables: Tables,
  { scope, messageId }: OperationArgs<"deleteMessage">,
  at: Moment,
): Steps<boolean> {
  const messages = yield* step(tables.messagesNamed(scope, messageId, at));
  for (const { id, conversation } of messages) {
    yield* removeMessages(tables, conversation, [id]);
  }
  return messages.length > 0;
}

export function* getMessages(
  tables: Tables,
  { scope, messageIds }: OperationArgs<"getMessages">,
  at: Moment,
): Steps<readonly StoredMessage[]> {
  return yield* readMessages(tables, yield* step(tables.lastMessages(scope, messageIds, at)));
}

export function* listMessages(
  tables: Tables,
  { scope, contextId, limit }: OperationArgs<"listMessages">,
  at: Moment,
): Steps<readonly StoredMessage[]> {
  const conversation = yield* findConversation(tables, scope, contextId, at);
  if (conversation === undefined) {
    return [];
  }
  const rows = yield* step(tables.newestMessages(conversation.id, limit));
  return yield* readMessages(tables, withContext(rows.toReversed(), contextId));
}

export function* listMessagePage(
  tables: Tables,
  { scope, contextId, after, newest, limit, bytesMax }: OperationArgs<"listMessagePage">,
  at: Moment,
): Steps<StoredMessagePage> {
  const conversation = yield* findConversation(tables, scope, contextId, at);
  if (conversation === undefined) {
    return { messages: [] };
  }
  const { id } = conversation;
  // One more than asked for says whether there are more.
  const rows =
    after === undefined && newest !== undefined
      ? (yield* step(tables.newestMessages(id, newest))).toReversed()
      : yield* step(tables.messagesAfter(id, after, limit + 1));
  const messages = yield* readFitting(tables, withContext(rows.slice(0, limit), contextId), bytesMax);
  const last = messages.length < rows.length ? rows[messages.length - 1] : undefined;
  return { messages, ...(last !== undefined && { next: placeOf(last) }) };
}

/** Messages from the first on that fit, at least one. Few are read beyond them. */
function* readFitting(tables: Tables, rows: readonly FoundMessage[], bytesMax: number): Steps<StoredMessage[]> {
  const fitting: StoredMessage[] = [];
  let bytes = 0;
  for (let start = 0; start < rows.length; start += messagesReadAtOnce) {
    for (const message of yield* readMessages(tables, rows.slice(start, start + messagesReadAtOnce))) {
      bytes += message.bytes.byteLength;
      if (fitting.length > 0 && bytes > bytesMax) {
        return fitting;
      }
      fitting.push(message);
    }
  }
  return fitting;
}

function placeOf({ timeMs, taskId, sequence }: MessageRow): MessagePlace {
  return { timeMs, taskId, sequence: BigInt(sequence) };
}

function withContext(rows: readonly MessageRow[], contextId: string): readonly FoundMessage[] {
  return rows.map((row) => ({ ...row, contextId }));
}

/** The bytes of messages: their own, or those of the entry they are in. */
function* readMessages(tables: Tables, rows: readonly FoundMessage[]): Steps<readonly StoredMessage[]> {
  const places: EntryPlace[] = [];
  for (const { source, sequence } of rows) {
    if ("task" in source) {
      places.push({ task: source.task, sequence });
    }
  }
  const segments = places.length === 0 ? [] : yield* step(tables.segmentsAt(places));
  const entryIn = createEntryReader();
  let place = 0;
  return rows.map(({ contextId, taskId, sequence, source }) => {
    if ("bytes" in source) {
      return { contextId, taskId, isEntry: false, bytes: source.bytes };
    }
    const bytes = entryIn(segments[place++], sequence);
    if (bytes === undefined) {
      throw new StorageError("corrupt", `Entry ${sequence} of task "${taskId}" is missing, which holds a message`);
    }
    return { contextId, taskId, isEntry: true, bytes };
  });
}

/** Copies entries out of batches. Messages that follow each other are often in one batch, which is read once. */
function createEntryReader(): (segment: SegmentRow | undefined, sequence: number) => Uint8Array | undefined {
  let last: { readonly segment: SegmentRow; readonly ranges: readonly EntryRange[] } | undefined;
  return (segment, sequence) => {
    if (segment === undefined) {
      return undefined;
    }
    if (last?.segment !== segment) {
      last = { segment, ranges: entryRanges(segment.bytes) };
    }
    const range = last.ranges[sequence - segment.first];
    // Not `slice`: a Buffer is a Uint8Array, too, and its `slice` copies nothing.
    return range && new Uint8Array(segment.bytes.subarray(range.begin, range.end));
  };
}
