import type { Retention } from "../../storage.ts";
import { claimMessage } from "../rows/claims.ts";
import {
  deleteConversation,
  getConversation,
  getConversationStats,
  getExpiredConversations,
  listConversations,
  storeConversation,
  updateConversationAccess,
} from "../rows/conversations.ts";
import { deleteMessage, getMessages, listMessagePage, listMessages, storeMessages } from "../rows/messages.ts";
import {
  deletePushNotification,
  getPushNotification,
  listPushNotifications,
  storePushNotification,
} from "../rows/push-notifications.ts";
import { deregister, heartbeat, listReplicas } from "../rows/replicas.ts";
import { storeSnapshot } from "../rows/snapshots.ts";
import { cleanupConversations, forgetReplicas, sweep } from "../rows/sweep.ts";
import { claimTasks, getTask, listTasks, readTask, taskExists } from "../rows/task-reads.ts";
import { appendTask, deleteTask, sendCommand } from "../rows/tasks.ts";
import type { SqliteContext } from "./context.ts";

/**
 * What a worker can be asked to do: `(context, args, nowMs) => result`, where args and result can be cloned from thread
 * to thread.
 */
export type Operations = Readonly<Record<string, (context: SqliteContext, args: never, nowMs: number) => unknown>>;

export const writeOperations = {
  appendTask,
  heartbeat,
  claimMessage,
  cleanupConversations,
  deleteConversation,
  deleteMessage,
  deletePushNotification,
  deleteTask,
  forgetReplicas,
  deregister,
  sendCommand,
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
