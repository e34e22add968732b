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
import { checkRequest } from "../../domain/validation/check-request.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import { callerFrom, roomFrom } from "../calls/call-context.ts";

/** Conversations and their messages. */
export function conversationService({ conversations }: TaskManager): ServiceImpl<typeof ConversationService> {
  return {
    getConversation: async (request, context) => {
      checkRequest(GetConversationRequestSchema, request);
      return create(GetConversationResponseSchema, {
        conversation: await conversations.get(request.contextId, callerFrom(request, context)),
      });
    },

    listConversations: (request, context) => conversations.list(request, callerFrom(request, context)),

    listMessages: (request, context) =>
      conversations.listMessages(request, callerFrom(request, context), roomFrom(context)),

    deleteMessage: async (request, context) => {
      checkRequest(DeleteMessageRequestSchema, request);
      return create(DeleteMessageResponseSchema, {
        deleted: await conversations.deleteMessage(request.messageId, callerFrom(request, context)),
      });
    },

    updateConversationAccess: async (request, context) => {
      checkRequest(UpdateConversationAccessRequestSchema, request);
      await conversations.updateAccess(request.contextId, callerFrom(request, context));
      return create(UpdateConversationAccessResponseSchema);
    },

    deleteConversation: async (request, context) => {
      checkRequest(DeleteConversationRequestSchema, request);
      return create(DeleteConversationResponseSchema, {
        deleted: await conversations.delete(request.contextId, callerFrom(request, context)),
      });
    },

    getConversationStats: async (request, context) => {
      checkRequest(GetConversationStatsRequestSchema, request);
      const stats = await conversations.stats(callerFrom(request, context));
      return create(GetConversationStatsResponseSchema, {
        totalConversations: BigInt(stats.totalConversations),
        totalMessages: BigInt(stats.totalMessages),
        ...(stats.oldestAccess && { oldestAccess: timestampFromDate(stats.oldestAccess) }),
        ...(stats.newestAccess && { newestAccess: timestampFromDate(stats.newestAccess) }),
      });
    },

    cleanupExpiredConversations: async (request, context) =>
      create(CleanupExpiredConversationsResponseSchema, {
        removed: await conversations.cleanup(request, callerFrom(request, context)),
      }),
  };
}
