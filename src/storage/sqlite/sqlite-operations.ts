import type { Retention } from "../storage.ts";
import { claimMessage } from "./sqlite-claims.ts";
import type { SqliteContext } from "./sqlite-context.ts";
import {
  deleteConversation,
  getConversation,
  getConversationStats,
  getExpiredConversations,
  listConversations,
  storeConversation,
  updateConversationAccess,
} from "./sqlite-conversations.ts";
import { deleteMessage, getMessages, listMessagePage, listMessages, storeMessages } from "./sqlite-messages.ts";
import {
  deletePushNotification,
  getPushNotification,
  listPushNotifications,
  storePushNotification,
} from "./sqlite-push-notifications.ts";
import { beat, leave, listReplicas } from "./sqlite-replicas.ts";
import { storeSnapshot } from "./sqlite-snapshots.ts";
import { cleanupConversations, forgetReplicas, sweep } from "./sqlite-sweep.ts";
import { claimTasks, getTask, listTasks, readTask, taskExists } from "./sqlite-task-reads.ts";
import { appendTask, deleteTask, requestTask } from "./sqlite-tasks.ts";

/**
 * What a worker can be asked to do: `(context, args, nowMs) => result`, where args and result can be cloned from thread
 * to thread.
 */
export type Operations = Readonly<Record<string, (context: SqliteContext, args: never, nowMs: number) => unknown>>;

export const writeOperations = {
  appendTask,
  beat,
  claimMessage,
  cleanupConversations,
  deleteConversation,
  deleteMessage,
  deletePushNotification,
  deleteTask,
  forgetReplicas,
  leave,
  requestTask,
  setRetention,
  storeConversation,
  storeMessages,
  storePushNotification,
  storeSnapshot,
  sweep,
  updateConversationAccess,
} satisfies Operations;

export const readOperations = {
  claimTasks,
  getConversation,
  getConversationStats,
  getExpiredConversations,
  getMessages,
  getPushNotification,
  getTask,
  listConversations,
  listMessagePage,
  listMessages,
  listPushNotifications,
  listReplicas,
  listTasks,
  readTask,
  setRetention,
  taskExists,
} satisfies Operations;

function setRetention(context: SqliteContext, { retention }: { readonly retention: Retention }): void {
  context.retention = retention;
}
