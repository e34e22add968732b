import type { ConversationKey, Scope } from "../../../domain/scope.ts";
import { hashKey } from "../../key.ts";
import type { ConversationHistory, ConversationPage, ConversationStats, PageQuery } from "../../storage.ts";
import { cleanupConversationsMax } from "../limits.ts";
import { before, lifeTimes, type Row, type SqliteContext } from "../thread/context.ts";
import { removeMessages } from "./message-rows.ts";

/** A conversation as operations pass it on: its incarnation, and how long its history is. */
export interface FoundConversation {
  readonly id: number;
  readonly messageCount: number;
}

export function conversationKey(scope: Scope, contextId: string): Uint8Array {
  return hashKey(scope.tenant, scope.owner, contextId);
}

export function scopeKey(scope: Scope): Uint8Array {
  return hashKey(scope.tenant, scope.owner);
}

/** The conversation that is current under a context id; undefined if there is none or if it is past its time. */
export function findConversation(
  context: SqliteContext,
  scope: Scope,
  contextId: string,
  nowMs: number,
): FoundConversation | undefined {
  const row = context.sql.findConversation.get({
    key: conversationKey(scope, contextId),
    ...lifeTimes(context, nowMs),
  });
  return row?.live === 1 ? foundConversation(row) : undefined;
}

/**
 * The same, made if there is none. One that is past its time makes way: it loses its key, and the sweep takes its rows
 * away.
 */
export function ensureConversation(
  context: SqliteContext,
  scope: Scope,
  contextId: string,
  nowMs: number,
): FoundConversation {
  const key = conversationKey(scope, contextId);
  const row = context.sql.findConversation.get({ key, ...lifeTimes(context, nowMs) });
  if (row?.live === 1) {
    return foundConversation(row);
  }
  if (row !== undefined) {
    removeConversation(context, row.id as number);
  }
  const { tenant, owner } = scope;
  const made = context.sql.insertConversation.run({
    key,
    scope: scopeKey(scope),
    tenant,
    owner,
    contextId,
    lastAccessMs: nowMs,
  });
  return { id: made.lastInsertRowid as number, messageCount: 0 };
}

export function removeConversation(context: SqliteContext, id: number): void {
  context.sql.removeConversation.run({ id });
}

export function storeConversation(
  context: SqliteContext,
  { scope, contextId, messageIds, lastAccessMs }: StoreConversationArgs,
  nowMs: number,
): void {
  const conversation = ensureConversation(context, scope, contextId, nowMs);
  context.sql.setLastAccess.run({ id: conversation.id, lastAccessMs });
  const kept = new Set(messageIds);
  const leaving = context.sql.messageIds
    .all({ conversation: conversation.id })
    .filter((row) => !kept.has(row.message_id as string))
    .map((row) => row.id as number);
  removeMessages(context, conversation.id, leaving);
}

export interface StoreConversationArgs {
  readonly scope: Scope;
  readonly contextId: string;
  readonly messageIds: readonly string[];
  readonly lastAccessMs: number;
}

export function updateConversationAccess(
  context: SqliteContext,
  { scope, contextId }: ConversationArgs,
  nowMs: number,
): boolean {
  const conversation = findConversation(context, scope, contextId, nowMs);
  if (conversation === undefined) {
    return false;
  }
  context.sql.setLastAccess.run({ id: conversation.id, lastAccessMs: nowMs });
  return true;
}

export interface ConversationArgs {
  readonly scope: Scope;
  readonly contextId: string;
}

export function deleteConversation(
  context: SqliteContext,
  { scope, contextId }: ConversationArgs,
  nowMs: number,
): boolean {
  const conversation = findConversation(context, scope, contextId, nowMs);
  if (conversation === undefined) {
    return false;
  }
  removeConversation(context, conversation.id);
  return true;
}

export function getConversation(
  context: SqliteContext,
  { scope, contextId }: ConversationArgs,
  nowMs: number,
): ConversationHistory | undefined {
  const row = context.sql.findConversation.get({
    key: conversationKey(scope, contextId),
    ...lifeTimes(context, nowMs),
  });
  if (row?.live !== 1) {
    return undefined;
  }
  const messageIds = context.sql.messageIds
    .all({ conversation: row.id as number })
    .map((message) => message.message_id as string);
  return { contextId, messageIds, lastAccessTime: new Date(row.last_access_ms as number) };
}

export function listConversations(
  context: SqliteContext,
  { scope, page: { after, limit } }: { readonly scope: Scope; readonly page: PageQuery },
  nowMs: number,
): ConversationPage {
  const rows = context.sql.pageConversations.all({
    scope: scopeKey(scope),
    afterMs: after?.lastAccessMs ?? Number.MAX_SAFE_INTEGER,
    afterContextId: after?.contextId ?? "",
    // One more than asked for tells whether there are more.
    limit: limit + 1,
    ...lifeTimes(context, nowMs),
  });
  const conversations = rows.slice(0, limit).map((row) => ({
    contextId: row.context_id as string,
    messageIds: [],
    lastAccessTime: new Date(row.last_access_ms as number),
  }));
  return { conversations, more: rows.length > limit };
}

export function getConversationStats(
  context: SqliteContext,
  { scope }: { readonly scope: Scope | undefined },
  nowMs: number,
): ConversationStats {
  const times = lifeTimes(context, nowMs);
  const row =
    scope === undefined
      ? context.sql.conversationStats.get({ ...times })
      : context.sql.conversationStatsInScope.get({ scope: scopeKey(scope), ...times });
  const { conversations, messages, oldest, newest } = row as Row;
  return {
    totalConversations: conversations as number,
    totalMessages: messages as number,
    ...(oldest !== null && { oldestAccess: new Date(oldest as number) }),
    ...(newest !== null && { newestAccess: new Date(newest as number) }),
  };
}

/** A conversation beyond an age, and its place in the order of those. */
export interface OldConversation {
  readonly id: number;
  readonly key: ConversationKey;
  readonly lastAccessMs: number;
  readonly held: boolean;
}

/**
 * Conversations last accessed before a moment, oldest access first, held ones among them; after a place in that order.
 */
export function listOldConversations(
  context: SqliteContext,
  scope: Scope | undefined,
  range: { readonly before: number; readonly after: OldConversation | undefined; readonly limit: number },
  nowMs: number,
): readonly OldConversation[] {
  const { before: beforeMs, after, limit } = range;
  const afterMs = after?.lastAccessMs ?? Number.MIN_SAFE_INTEGER;
  const { heldSince } = lifeTimes(context, nowMs);
  const rows =
    scope === undefined
      ? context.sql.oldConversations.all({ before: beforeMs, afterMs, afterId: after?.id ?? 0, heldSince, limit })
      : context.sql.oldConversationsInScope.all({
          scope: scopeKey(scope),
          before: beforeMs,
          afterMs,
          // Within one moment the order is descending: above every id comes a character beyond the last one of
          // Unicode's planes in use.
          afterContextId: after?.key.contextId ?? "\u{10ffff}".repeat(65),
          heldSince,
          limit,
        });
  return rows.map((row) => ({
    id: row.id as number,
    key: { tenant: row.tenant as string, owner: row.owner as string, contextId: row.context_id as string },
    lastAccessMs: row.last_access_ms as number,
    held: row.held === 1,
  }));
}

export function getExpiredConversations(
  context: SqliteContext,
  { maxAgeMs, limit, scope }: { readonly maxAgeMs: number; readonly limit: number; readonly scope: Scope | undefined },
  nowMs: number,
): readonly ConversationKey[] {
  const expired: ConversationKey[] = [];
  const beforeMs = before(nowMs, maxAgeMs);
  // Some will be held.
  const pageSize = limit + cleanupConversationsMax;
  let after: OldConversation | undefined;
  do {
    const page = listOldConversations(context, scope, { before: beforeMs, after, limit: pageSize }, nowMs);
    expired.push(...page.filter(({ held }) => !held).map(({ key }) => key));
    after = page.length < pageSize ? undefined : page.at(-1);
  } while (after !== undefined && expired.length < limit);
  return expired.slice(0, limit);
}

function foundConversation(row: Row): FoundConversation {
  return { id: row.id as number, messageCount: row.message_count as number };
}
