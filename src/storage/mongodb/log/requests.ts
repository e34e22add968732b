import type { TaskKey } from "../../../domain/scope.ts";
import type { TaskCommand } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import type { MongoContext } from "../context.ts";
import { taskKey } from "../keys.ts";
import { requestsMax } from "../limits.ts";
import { putInline, removeBlobsLater } from "./blobs.ts";
import { findTask } from "./find-task.ts";

/** Adds a request to the task's record, from which every append returns it. */
export async function sendCommand(context: MongoContext, key: TaskKey, { id, bytes }: TaskCommand): Promise<boolean> {
  const _id = taskKey(key);
  const task = await findTask(context, _id);
  if (task === undefined) {
    return false;
  }
  if (task.requests.some((request) => request.id === id)) {
    return true;
  }
  const inline = await putInline(context, task, bytes);
  const { log } = task;
  const { matchedCount } = await context.collections.tasks.updateOne(
    { _id, log, "requests.id": { $ne: id }, [`requests.${requestsMax - 1}`]: { $exists: false } },
    { $push: { requests: { id, bytes: inline } }, ...("blob" in inline && { $set: { longLived: true } }) },
  );
  if (matchedCount > 0) {
    return true;
  }
  removeBlobsLater(context, [inline]);
  const again = await findTask(context, _id);
  if (
    again !== undefined &&
    again.requests.length >= requestsMax &&
    !again.requests.some((request) => request.id === id)
  ) {
    throw new StorageError("unavailable", `Task "${key.taskId}" has ${requestsMax} open requests`);
  }
  return again !== undefined;
}
