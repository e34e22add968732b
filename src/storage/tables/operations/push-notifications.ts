import type { OperationArgs } from "../../storage-engine.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { Tables } from "../tables.ts";
import { findTask, type TaskArgs } from "./tasks.ts";

/** False if there is no such task. */
export function* storePushNotification(
  tables: Tables,
  { key, configId, bytes }: OperationArgs<"storePushNotification">,
  at: Moment,
): Steps<boolean> {
  const task = yield* findTask(tables, key, at);
  if (task === undefined) {
    return false;
  }
  yield* step(tables.putConfig(task.id, configId, bytes));
  return true;
}

export function* getPushNotification(
  tables: Tables,
  { key, configId }: OperationArgs<"getPushNotification">,
  at: Moment,
): Steps<Uint8Array | undefined> {
  const task = yield* findTask(tables, key, at);
  return task && (yield* step(tables.config(task.id, configId)));
}

export function* listPushNotifications(tables: Tables, { key }: TaskArgs, at: Moment): Steps<readonly Uint8Array[]> {
  const task = yield* findTask(tables, key, at);
  return task === undefined ? [] : yield* step(tables.configs(task.id));
}

export function* deletePushNotification(
  tables: Tables,
  { key, configId }: OperationArgs<"getPushNotification">,
  at: Moment,
): Steps<boolean> {
  const task = yield* findTask(tables, key, at);
  return task !== undefined && (yield* step(tables.removeConfig(task.id, configId)));
}
