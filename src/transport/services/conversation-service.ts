import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  CleanupExpiredConversationsResponseSchema,
  type ConversationService,
  DeleteConversationRequestSchema,
  DeleteConversationResponseSchema,
  DeleteMessageRequestSchema,
  DeleteMessageResponseSchema,
  GetConversationRequestSchema,
  GetConversationResponseSchema,
  GetConversationStatsRequestSchema,
  GetConversationStatsResponseSchema,
  UpdateConversationAccessRequestSchema,
  UpdateConversationAccessResponseSchema,
} from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { checkRequest } from "../../domain/check-request.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import { answering, type CallSettings, callerOf } from "../calls/call-settings.ts";

/** Conversations and their messages. */
export function conversationService(
  { conversations }: TaskManager,
  settings: CallSettings,
): ServiceImpl<typeof ConversationService> {
  return {
    getConversation: (request, context) =>
      answering(settings, async () => {
        checkRequest(GetConversationRequestSchema, request);
        return create(GetConversationResponseSchema, {
          conversation: await conversations.get(request.contextId, callerOf(request, context)),
        });
      }),

    listConversations: (request, context) =>
      answering(settings, () => conversations.list(request, callerOf(request, context))),

    listMessages: (request, context) =>
      answering(settings, () => conversations.listMessages(request, callerOf(request, context))),

    deleteMessage: (request, context) =>
      answering(settings, async () => {
        checkRequest(DeleteMessageRequestSchema, request);
        return create(DeleteMessageResponseSchema, {
          deleted: await conversations.deleteMessage(request.messageId, callerOf(request, context)),
        });
      }),

    updateConversationAccess: (request, context) =>
      answering(settings, async () => {
        checkRequest(UpdateConversationAccessRequestSchema, request);
        await conversations.updateAccess(request.contextId, callerOf(request, context));
        return create(UpdateConversationAccessResponseSchema);
      }),

    deleteConversation: (request, context) =>
      answering(settings, async () => {
        checkRequest(DeleteConversationRequestSchema, request);
        return create(DeleteConversationResponseSchema, {
          deleted: await conversations.delete(request.contextId, callerOf(request, context)),
        });
      }),

    getConversationStats: (request, context) =>
      answering(settings, async () => {
        checkRequest(GetConversationStatsRequestSchema, request);
        const stats = await conversations.stats(callerOf(request, context));
        return create(GetConversationStatsResponseSchema, {
          totalConversations: BigInt(stats.totalConversations),
          totalMessages: BigInt(stats.totalMessages),
          ...(stats.oldestAccess && { oldestAccess: timestampFromDate(stats.oldestAccess) }),
          ...(stats.newestAccess && { newestAccess: timestampFromDate(stats.newestAccess) }),
        });
      }),

    cleanupExpiredConversations: (request, context) =>
      answering(settings, async () =>
        create(CleanupExpiredConversationsResponseSchema, {
          removed: await conversations.cleanup(request, callerOf(request, context)),
        }),
      ),
  };
}
