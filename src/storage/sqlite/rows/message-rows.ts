import type { SqliteContext } from "../thread/context.ts";

/** A message on its way into a history: a pointer into a task's log, or the message itself. */
export interface MessageRow {
  readonly key: Uint8Array;
  readonly messageId: string;
  readonly timeMs: number;
  readonly source:
    | { readonly task: number; readonly taskId: string; readonly sequence: number }
    | { readonly bytes: Uint8Array };
}

/** Adds messages to a conversation's history, whose oldest then leave it if it is too long, and notes the access. */
export function addMessages(
  context: SqliteContext,
  conversation: { readonly id: number; readonly messageCount: number },
  messages: readonly MessageRow[],
  nowMs: number,
): void {
  for (const message of messages) {
    insertMessage(context, conversation.id, message);
  }
  const excess = conversation.messageCount + messages.length - context.maxHistoryLength;
  if (excess > 0) {
    for (const row of context.sql.oldestMessages.all({ conversation: conversation.id, limit: excess })) {
      context.sql.deleteMessage.run({ id: row.id as number });
    }
  }
  context.sql.noteMessages.run({ id: conversation.id, change: messages.length - Math.max(0, excess), nowMs });
}

function insertMessage(
  context: SqliteContext,
  conversation: number,
  { key, messageId, timeMs, source }: MessageRow,
): void {
  // Row numbers grow with the time of storing, by which the message of an id that was stored last is found.
  const id = (context.sql.lastMessage.get()?.id as number) + 1;
  const place =
    "task" in source
      ? { task: source.task, taskId: source.taskId, sequence: source.sequence, bytes: null }
      : // Among the messages of one moment that have no task, the row number is the order in which they were given.
        { task: null, taskId: "", sequence: id, bytes: source.bytes };
  context.sql.insertMessage.run({ id, key, conversation, timeMs, messageId, ...place });
}

/** Takes messages, by row number, out of a conversation's history. */
export function removeMessages(context: SqliteContext, conversation: number, ids: readonly number[]): void {
  if (ids.length === 0) {
    return;
  }
  for (const id of ids) {
    context.sql.deleteMessage.run({ id });
  }
  context.sql.changeMessageCount.run({ id: conversation, change: -ids.length });
}
