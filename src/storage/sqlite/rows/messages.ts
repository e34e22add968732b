import type { Scope } from "../../../domain/scope.ts";
import type { MessageClaim, MessagePlace } from "../../storage.ts";
import type { EncodedMessage, StoredMessage, StoredMessagePage } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { handOver, lifeTimes, type Row, type SqliteContext } from "../thread/context.ts";
import { messageKey, settleClaim } from "./claims.ts";
import { ensureConversation, findConversation } from "./conversations.ts";
import { type EntryRange, entryRanges } from "./entry-batch.ts";
import { addMessages, removeMessages } from "./message-rows.ts";

export function storeMessages(
  context: SqliteContext,
  args: {
    readonly scope: Scope;
    readonly messages: readonly EncodedMessage[];
    readonly settle: MessageClaim | undefined;
  },
  nowMs: number,
): void {
  const { scope, messages, settle } = args;
  for (const [index, { messageId, contextId, bytes }] of messages.entries()) {
    const conversation = ensureConversation(context, scope, contextId, nowMs);
    const key = messageKey(scope, messageId);
    // A message without a task is stored again when the outcome of the first time was unknown: that must not make two
    // of it.
    const equal = context.sql.equalMessages.all({ key, conversation: conversation.id }).map((row) => row.id as number);
    removeMessages(context, conversation.id, equal);
    const { id } = conversation;
    const messageCount = conversation.messageCount - equal.length;
    addMessages(context, { id, messageCount }, [{ key, messageId, timeMs: nowMs, source: { bytes } }], nowMs);
    if (settle !== undefined && index === messages.length - 1) {
      settleClaim(context, scope, settle, { conversation: id, answer: bytes }, nowMs);
    }
  }
}

export function deleteMessage(
  context: SqliteContext,
  { scope, messageId }: { readonly scope: Scope; readonly messageId: string },
  nowMs: number,
): boolean {
  const rows = context.sql.messagesByKey.all({ key: messageKey(scope, messageId), ...lifeTimes(context, nowMs) });
  for (const row of rows) {
    removeMessages(context, row.conversation as number, [row.id as number]);
  }
  return rows.length > 0;
}

/** The message of each id that was stored last; ids without one are passed over. */
export function getMessages(
  context: SqliteContext,
  { scope, messageIds }: { readonly scope: Scope; readonly messageIds: readonly string[] },
  nowMs: number,
): readonly StoredMessage[] {
  const read = createMessageReader(context);
  const found: StoredMessage[] = [];
  for (const messageId of messageIds) {
    const row = context.sql.newestMessageByKey.get({ key: messageKey(scope, messageId), ...lifeTimes(context, nowMs) });
    if (row !== undefined) {
      found.push(read(row, row.context_id as string));
    }
  }
  return found;
}

export function listMessages(
  context: SqliteContext,
  args: { readonly scope: Scope; readonly contextId: string; readonly limit: number | undefined },
  nowMs: number,
): readonly StoredMessage[] {
  const { scope, contextId, limit } = args;
  const conversation = findConversation(context, scope, contextId, nowMs);
  if (conversation === undefined) {
    return [];
  }
  // To SQLite a negative limit is none.
  const rows = context.sql.newestMessages.all({ conversation: conversation.id, limit: limit ?? -1 });
  return readMessages(context, rows.reverse(), contextId);
}

export function listMessagePage(
  context: SqliteContext,
  args: {
    readonly scope: Scope;
    readonly contextId: string;
    readonly after: MessagePlace | undefined;
    readonly limit: number;
  },
  nowMs: number,
): StoredMessagePage {
  const { scope, contextId, after, limit } = args;
  const conversation = findConversation(context, scope, contextId, nowMs);
  if (conversation === undefined) {
    return { messages: [], next: undefined };
  }
  const rows = context.sql.messagesAfter.all({
    conversation: conversation.id,
    afterTimeMs: after?.timeMs ?? Number.MIN_SAFE_INTEGER,
    afterTaskId: after?.taskId ?? "",
    afterSequence: after?.sequence ?? 0,
    // One more than asked for tells whether there are more.
    limit: limit + 1,
  });
  const shown = rows.slice(0, limit);
  const last = rows.length > limit ? shown.at(-1) : undefined;
  return { messages: readMessages(context, shown, contextId), next: last === undefined ? undefined : placeOf(last) };
}

function placeOf(row: Row): MessagePlace {
  return { timeMs: row.time_ms as number, taskId: row.task_id as string, sequence: BigInt(row.sequence as number) };
}

function readMessages(context: SqliteContext, rows: readonly Row[], contextId: string): readonly StoredMessage[] {
  const read = createMessageReader(context);
  return rows.map((row) => read(row, contextId));
}

/** Reads the messages that rows stand for. Neighbours are often in one segment, so the last one is kept. */
function createMessageReader(context: SqliteContext): (row: Row, contextId: string) => StoredMessage {
  let segment:
    | {
        readonly task: number;
        readonly first: number;
        readonly bytes: Uint8Array;
        readonly ranges: readonly EntryRange[];
      }
    | undefined;
  return (row, contextId) => {
    const taskId = row.task_id as string;
    const own = row.bytes as Uint8Array | null;
    if (own !== null) {
      return { contextId, taskId, isEntry: false, bytes: handOver(context, own) };
    }
    const task = row.task as number;
    const sequence = row.sequence as number;
    if (segment?.task !== task || sequence < segment.first || sequence >= segment.first + segment.ranges.length) {
      const found = context.sql.findSegment.get({ task, sequence });
      if (found !== undefined) {
        const bytes = found.bytes as Uint8Array;
        segment = { task, first: found.first as number, bytes, ranges: entryRanges(bytes) };
      }
    }
    const range = segment?.task === task ? segment.ranges[sequence - segment.first] : undefined;
    if (segment === undefined || range === undefined) {
      throw new StorageError("corrupt", `Entry ${sequence} of task "${taskId}" is missing, which holds a message`);
    }
    return { contextId, taskId, isEntry: true, bytes: handOver(context, segment.bytes.slice(range.begin, range.end)) };
  };
}
