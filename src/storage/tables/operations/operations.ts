import type { Moment } from "../moment.ts";
import type { Steps } from "../steps.ts";
import type { Tables } from "../tables.ts";
import { appendTask } from "./append.ts";
import { claimMessage } from "./claims.ts";
import {
  deleteConversation,
  getConversation,
  getConversationStats,
  listConversations,
  storeConversation,
  updateConversationAccess,
} from "./conversations.ts";
import { deleteMessage, getMessages, listMessagePage, listMessages, storeMessages } from "./messages.ts";
import {
  deletePushNotification,
  getPushNotification,
  listPushNotifications,
  storePushNotification,
} from "./push-notifications.ts";
import { getTask, listTasks, readTask } from "./reads.ts";
import { claimTasks, deregister, forgetReplicas, heartbeat, listReplicas, listRunners, register } from "./replicas.ts";
import { storeSnapshot } from "./snapshots.ts";
import { cleanupConversations, findExpired, giveBack, sweep } from "./sweep.ts";
import { deleteTask, sendCommand, taskExists } from "./tasks.ts";

/**
 * One transaction: `(tables, args, at) => steps`. It depends on nothing but its arguments and the rows it finds, and
 * changes nothing but rows, so after an error before COMMIT it can run again as a whole. Arguments and results can be
 * cloned into another thread.
 */
export type TableOperation<Args = never, Result = unknown> = (tables: Tables, args: Args, at: Moment) => Steps<Result>;

/** The operations that change something. */
export const writeOperations = {
  appendTask,
  claimMessage,
  cleanupConversations,
  deleteConversation,
  deleteMessage,
  deletePushNotification,
  deleteTask,
  deregister,
  forgetReplicas,
  giveBack,
  heartbeat,
  register,
  sendCommand,
  storeConversation,
  storeMessages,
  storePushNotification,
  storeSnapshot,
  sweep,
  updateConversationAccess,
} satisfies Readonly<Record<string, TableOperation>>;

/** The operations that only read. */
export const readOperations = {
  claimTasks,
  findExpired,
  getConversation,
  getConversationStats,
  getMessages,
  getPushNotification,
  getTask,
  listConversations,
  listMessagePage,
  listMessages,
  listPushNotifications,
  listReplicas,
  listRunners,
  listTasks,
  readTask,
  taskExists,
} satisfies Readonly<Record<string, TableOperation>>;

export type WriteOperations = typeof writeOperations;
export type ReadOperations = typeof readOperations;

export type ArgsOf<O extends (...args: never) => unknown> = Parameters<O>[1];
export type ResultOf<O> = O extends (...args: never) => Steps<infer Result> ? Result : never;
