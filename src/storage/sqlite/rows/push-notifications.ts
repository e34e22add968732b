import type { TaskKey } from "../../../domain/scope.ts";
import type { SqliteContext } from "../thread/context.ts";
import { findTask } from "./tasks.ts";

export interface PushNotificationArgs {
  readonly key: TaskKey;
  readonly configId: string;
}

export function storePushNotification(
  context: SqliteContext,
  { key, configId, bytes }: PushNotificationArgs & { readonly bytes: Uint8Array },
  nowMs: number,
): boolean {
  const task = findTask(context, key, nowMs);
  if (task !== undefined) {
    context.sql.putPushNotification.run({ task: task.id, configId, bytes });
  }
  return task !== undefined;
}

export function getPushNotification(
  context: SqliteContext,
  { key, configId }: PushNotificationArgs,
  nowMs: number,
): Uint8Array | undefined {
  const task = findTask(context, key, nowMs);
  const row = task === undefined ? undefined : context.sql.getPushNotification.get({ task: task.id, configId });
  return row?.bytes as Uint8Array | undefined;
}

export function listPushNotifications(
  context: SqliteContext,
  { key }: { readonly key: TaskKey },
  nowMs: number,
): readonly Uint8Array[] {
  const task = findTask(context, key, nowMs);
  return task === undefined
    ? []
    : context.sql.listPushNotifications.all({ task: task.id }).map((row) => row.bytes as Uint8Array);
}

export function deletePushNotification(
  context: SqliteContext,
  { key, configId }: PushNotificationArgs,
  nowMs: number,
): boolean {
  const task = findTask(context, key, nowMs);
  return task !== undefined && context.sql.deletePushNotification.run({ task: task.id, configId }).changes === 1;
}
