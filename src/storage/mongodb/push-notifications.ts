import { Binary } from "mongodb";
import type { TaskKey } from "../../domain/scope.ts";
import { compareIds } from "../compare-ids.ts";
import { belongingOf, expiryOf, type MongoContext } from "./context.ts";
import { bytesOf, configKey, keyBytes, keysOf, taskKey } from "./keys.ts";
import { findTask } from "./log/find-task.ts";

/**
 * The key of a config begins with the log of its task. So configs of a removed task are never found, even if the task's
 * id is used again.
 */
export async function storePushNotification(
  context: MongoContext,
  key: TaskKey,
  configId: string,
  bytes: Uint8Array,
): Promise<boolean> {
  const _id = taskKey(key);
  const task = await findTask(context, _id);
  if (task === undefined) {
    return false;
  }
  const { log, incarnation, parent } = task;
  // With the expiry of a running task, because the task may start to run.
  const record = {
    configId,
    bytes: new Binary(bytes),
    ...belongingOf(incarnation, expiryOf(context, { running: true, covered: parent.covered })),
  };
  await context.collections.pushNotifications.replaceOne({ _id: configKey(log, configId) }, record, { upsert: true });
  const { matchedCount } = await context.collections.tasks.updateOne({ _id, log }, { $set: { longLived: true } });
  return matchedCount > 0;
}

export async function getPushNotification(
  context: MongoContext,
  key: TaskKey,
  configId: string,
): Promise<Uint8Array | undefined> {
  const task = await findTask(context, taskKey(key));
  const found =
    task === undefined
      ? null
      : await context.collections.pushNotifications.findOne({ _id: configKey(task.log, configId) });
  return found === null ? undefined : bytesOf(found.bytes);
}

export async function listPushNotifications(context: MongoContext, key: TaskKey): Promise<readonly Uint8Array[]> {
  const task = await findTask(context, taskKey(key));
  if (task === undefined) {
    return [];
  }
  const found = await context.collections.pushNotifications.find({ _id: keysOf(task.log, keyBytes.config) }).toArray();
  return found.sort((a, b) => compareIds(a.configId, b.configId)).map(({ bytes }) => bytesOf(bytes));
}

export async function deletePushNotification(context: MongoContext, key: TaskKey, configId: string): Promise<boolean> {
  const task = await findTask(context, taskKey(key));
  return (
    task !== undefined &&
    (await context.collections.pushNotifications.deleteOne({ _id: configKey(task.log, configId) })).deletedCount > 0
  );
}
