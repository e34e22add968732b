import type { Scope } from "../../../domain/scope.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { ConversationRow, NewMessage, Tables } from "../tables.ts";

/**
 * Adds messages to a conversation's history and counts as an access. The oldest messages leave a history that is too
 * long. A conversation's number of messages is always that of its rows.
 */
export function* addMessages(
  tables: Tables,
  scope: Scope,
  { id, messageCount }: Pick<ConversationRow, "id" | "messageCount">,
  messages: readonly NewMessage[],
  { nowMs }: Moment,
): Steps<void> {
  yield* step(tables.addMessages(scope, id, messages));
  const excess = Math.max(0, messageCount + messages.length - tables.maxHistoryLength);
  if (excess > 0) {
    yield* step(tables.removeOldestMessages(id, excess));
  }
  yield* step(tables.updateConversation(id, { messages: messages.length - excess, lastAccessMs: nowMs }));
}

/** Removes messages, by their ids, from the history of one conversation. */
export function* removeMessages(tables: Tables, conversation: number, ids: readonly number[]): Steps<void> {
  if (ids.length > 0) {
    yield* step(tables.removeMessages(ids));
    yield* step(tables.updateConversation(conversation, { messages: -ids.length }));
  }
}
