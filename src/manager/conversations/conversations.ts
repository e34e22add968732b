import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type CleanupExpiredConversationsRequest,
  CleanupExpiredConversationsRequestSchema,
  type Conversation,
  ConversationSchema,
  type ListConversationsRequest,
  ListConversationsRequestSchema,
  type ListConversationsResponse,
  ListConversationsResponseSchema,
  type ListMessagesRequest,
  ListMessagesRequestSchema,
  type ListMessagesResponse,
  ListMessagesResponseSchema,
} from "../../../gen/taskmanager/v1/conversation_pb.ts";
import type { Scope } from "../../domain/scope.ts";
import { TaskError, taskNotFound } from "../../domain/task-error.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import type { ConversationHistory, ConversationStats } from "../../storage/storage.ts";
import { StorageError } from "../../storage/storage-error.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { AnswerRoom } from "../read/answer-room.ts";
import { pageSizeDefault } from "../read/list-tasks.ts";
import { decodePageToken, encodePageToken } from "../read/page-token.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import type { AccessTracker } from "./access-tracker.ts";

/** How the manager makes a call: it refuses calls once it is closed, and maps errors to TaskErrors. */
type Call = <T>(body: () => Promise<T>) => Promise<T>;

/** The Go package's conversation methods, within a caller's scope. */
export class Conversations {
  readonly #deps: ManagerDeps;
  readonly #access: AccessTracker;
  readonly #runs: TaskRuns;
  readonly #call: Call;

  constructor(deps: ManagerDeps, runs: TaskRuns, access: AccessTracker, call: Call) {
    this.#deps = deps;
    this.#runs = runs;
    this.#access = access;
    this.#call = call;
  }

  /** Throws TaskError CONVERSATION_NOT_FOUND. */
  get(contextId: string, scope: Scope): Promise<Conversation> {
    return this.#call(async () => {
      const conversation = await this.#deps.storage.getConversation(scope, contextId);
      if (conversation === undefined) throw conversationNotFound(contextId);
      return asMessage(conversation);
    });
  }

  /** The conversation that was accessed last comes first. */
  list(request: ListConversationsRequest, scope: Scope): Promise<ListConversationsResponse> {
    return this.#call(async () => {
      checkRequest(ListConversationsRequestSchema, request);
      const limit = request.pageSize ?? pageSizeDefault;
      const list = ["conversations", scope.tenant, scope.owner];
      const place = decodePageToken(list, request.pageToken, ["time", "id"]);
      const page = await this.#deps.storage.listConversations(scope, {
        limit,
        ...(place && { after: { lastAccessMs: Number(place[0]), contextId: String(place[1]) } }),
      });
      const last = page.conversations.at(-1);
      return create(ListConversationsResponseSchema, {
        conversations: page.conversations.map(asMessage),
        nextPageToken:
          page.more && last !== undefined ? encodePageToken(list, [last.lastAccessTime.getTime(), last.contextId]) : "",
      });
    });
  }

  /**
   * The newest `limit` messages, or a page of them, oldest first. Counts as an access. The answer ends early, with a
   * token for the rest, where it would exceed the largest message that clients take. Throws TaskError
   * CONVERSATION_NOT_FOUND.
   */
  listMessages(request: ListMessagesRequest, scope: Scope, room?: AnswerRoom): Promise<ListMessagesResponse> {
    return this.#call(async () => {
      checkRequest(ListMessagesRequestSchema, request);
      const { storage } = this.#deps;
      const { contextId, pageToken } = request;
      const list = ["messages", scope.tenant, scope.owner, contextId];
      const place = decodePageToken(list, pageToken, ["time", "optional id", "sequence"]);
      if ((await storage.getConversation(scope, contextId)) === undefined) throw conversationNotFound(contextId);
      this.#access.touch(scope, contextId);
      const { maxEventBytes } = this.#deps.options;
      const source = this.#deps.newId();
      await room?.share(source, maxEventBytes);
      const page = await storage.listMessagePage(scope, contextId, {
        ...(place && {
          after: { timeMs: Number(place[0]), taskId: String(place[1]), sequence: BigInt(place[2] ?? 0) },
        }),
        ...(request.pageSize === undefined && { newest: request.limit }),
        limit: request.pageSize ?? (place === undefined ? messagesMax : pageSizeDefault),
        bytesMax: maxEventBytes,
      });
      const { next } = page;
      return create(ListMessagesResponseSchema, {
        messages: [...page.messages],
        nextPageToken:
          next === undefined ? "" : encodePageToken(list, [next.timeMs, next.taskId, String(next.sequence)]),
      });
    });
  }

  getMessage(messageId: string, scope: Scope): Promise<Message | undefined> {
    return this.#call(() => this.#deps.storage.getMessage(scope, messageId));
  }

  deleteMessage(messageId: string, scope: Scope): Promise<boolean> {
    return this.#call(() => this.#deps.storage.deleteMessage(scope, messageId));
  }

  /** Throws TaskError CONVERSATION_NOT_FOUND. */
  updateAccess(contextId: string, scope: Scope): Promise<void> {
    return this.#call(async () => {
      if (!(await this.#deps.storage.updateConversationAccess(scope, contextId))) throw conversationNotFound(contextId);
    });
  }

  /** Throws TaskError STILL_RUNNING while a task of it is SUBMITTED or WORKING. */
  delete(contextId: string, scope: Scope): Promise<boolean> {
    return this.#call(async () => {
      // The turn of an interrupted task may still run, and wait for a credential.
      const runs = this.#runs.ofConversation(scope, contextId);
      const deleted = await this.#deps.storage.deleteConversation(scope, contextId).catch((error: unknown) => {
        throw error instanceof StorageError && error.code === "running" ? stillRunning(contextId, error) : error;
      });
      if (!deleted) return false;
      for (const { key, writer } of runs) writer.abandon(taskNotFound(key.taskId));
      // The tasks are gone, and their readers must not wait for ever.
      this.#deps.hub.wakeAll();
      return true;
    });
  }

  stats(scope: Scope): Promise<ConversationStats> {
    return this.#call(() => this.#deps.storage.getConversationStats(scope));
  }

  /** Removes the caller's expired conversations, and gives their number. */
  cleanup(request: CleanupExpiredConversationsRequest, scope: Scope): Promise<number> {
    return this.#call(async () => {
      checkRequest(CleanupExpiredConversationsRequestSchema, request);
      const maxAgeMs = request.maxAgeMs === undefined ? this.#deps.options.conversationTtlMs : Number(request.maxAgeMs);
      const removed = await this.#deps.storage.cleanupExpiredConversations(maxAgeMs, scope);
      if (removed > 0) this.#deps.hub.wakeAll();
      return removed;
    });
  }
}

/** Messages in an answer without a page size. Far more than a history keeps by default. */
const messagesMax = 10_000;

function asMessage({ contextId, messageIds, lastAccessTime }: ConversationHistory): Conversation {
  return create(ConversationSchema, {
    contextId,
    messageIds: [...messageIds],
    lastAccessTime: timestampFromDate(lastAccessTime),
  });
}

function conversationNotFound(contextId: string): TaskError {
  return new TaskError("CONVERSATION_NOT_FOUND", `No conversation "${contextId}"`, { metadata: { contextId } });
}

function stillRunning(contextId: string, cause: unknown): TaskError {
  const message = `A task of conversation "${contextId}" is running; cancel it first`;
  return new TaskError("STILL_RUNNING", message, { metadata: { contextId }, cause });
}
