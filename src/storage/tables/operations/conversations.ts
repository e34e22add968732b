import type { Scope } from "../../../domain/scope.ts";
import { taskStates } from "../../../domain/task-state.ts";
import type { ConversationHistory, ConversationPage, ConversationStats } from "../../storage.ts";
import type { OperationArgs } from "../../storage-engine.ts";
import { taskRuns } from "../../storage-error.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { ConversationRow, Tables } from "../tables.ts";
import { removeMessages } from "./history.ts";

/** The live conversation of a context id. */
export function* findConversation(
  tables: Tables,
  scope: Scope,
  contextId: string,
  at: Moment,
): Steps<ConversationRow | undefined> {
  const conversation = yield* step(tables.conversation(scope, contextId, at));
  return conversation?.live === true ? conversation : undefined;
}

/** The live conversation of a context id, made if there is none. One that is past its time is hidden. */
export function* ensureConversation(
  tables: Tables,
  scope: Scope,
  contextId: string,
  at: Moment,
): Steps<Pick<ConversationRow, "id" | "messageCount">> {
  const present = yield* step(tables.conversation(scope, contextId, at));
  if (present?.live === true) {
    return present;
  }
  if (present !== undefined) {
    yield* step(tables.hideConversation(present.id));
  }
  return { id: yield* step(tables.addConversation(scope, contextId, at.nowMs)), messageCount: 0 };
}

export function* storeConversation(
  tables: Tables,
  { scope, conversation: stored }: OperationArgs<"storeConversation">,
  at: Moment,
): Steps<void> {
  const { id } = yield* ensureConversation(tables, scope, stored.contextId, at);
  yield* step(tables.updateConversation(id, { lastAccessMs: stored.lastAccessTime.getTime() }));
  const kept = new Set(stored.messageIds);
  const messages = yield* step(tables.messageIds(id));
  const leaving = messages.filter(({ messageId }) => !kept.has(messageId));
  yield* removeMessages(
    tables,
    id,
    leaving.map((message) => message.id),
  );
}

export function* getConversation(
  tables: Tables,
  { scope, contextId }: OperationArgs<"getConversation">,
  at: Moment,
): Steps<ConversationHistory | undefined> {
  const conversation = yield* findConversation(tables, scope, contextId, at);
  if (conversation === undefined) {
    return undefined;
  }
  const messages = yield* step(tables.messageIds(conversation.id));
  return {
    contextId,
    messageIds: messages.map(({ messageId }) => messageId),
    lastAccessTime: new Date(conversation.lastAccessMs),
  };
}

export function* updateConversationAccess(
  tables: Tables,
  { scope, contextId }: OperationArgs<"getConversation">,
  at: Moment,
): Steps<boolean> {
  const conversation = yield* findConversation(tables, scope, contextId, at);
  if (conversation === undefined) {
    return false;
  }
  yield* step(tables.updateConversation(conversation.id, { lastAccessMs: at.nowMs }));
  return true;
}

/** Hides the conversation, unless a task of it runs; `sweep` removes its rows. */
export function* deleteConversation(
  tables: Tables,
  { scope, contextId }: OperationArgs<"getConversation">,
  at: Moment,
): Steps<boolean> {
  const conversation = yield* findConversation(tables, scope, contextId, at);
  if (conversation === undefined) {
    return false;
  }
  // In the transaction that hides it. An append that creates or wakes a task comes before or after both.
  for (const state of [taskStates.SUBMITTED, taskStates.WORKING]) {
    const filter = { scope, conversation: conversation.id, state, statusTimeMsMin: Number.MIN_SAFE_INTEGER };
    if ((yield* step(tables.pageTasks(filter, undefined, 1, at))).length > 0) {
      throw taskRuns(contextId);
    }
  }
  yield* step(tables.hideConversation(conversation.id));
  return true;
}

export function* listConversations(
  tables: Tables,
  { scope, page: { after, limit } }: OperationArgs<"listConversations">,
  at: Moment,
): Steps<ConversationPage> {
  // One more than asked for says whether there are more.
  const found = yield* step(tables.pageConversations(scope, after, limit + 1, at));
  const conversations = found.slice(0, limit).map(({ contextId, lastAccessMs }) => ({
    contextId,
    messageIds: [],
    lastAccessTime: new Date(lastAccessMs),
  }));
  return { conversations, more: found.length > limit };
}

export function* getConversationStats(
  tables: Tables,
  { scope }: { readonly scope: Scope | undefined },
  at: Moment,
): Steps<ConversationStats> {
  return yield* step(tables.conversationStats(scope, at));
}
