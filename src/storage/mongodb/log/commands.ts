import type { TaskKey } from "../../../domain/scope.ts";
import type { TaskCommand } from "../../storage.ts";
import { StorageError } from "../../storage-error.ts";
import type { MongoContext } from "../context.ts";
import { taskKey } from "../keys.ts";
import { commandsMax } from "../limits.ts";
import { putInline, removeBlobsLater } from "./blobs.ts";
import { findTask } from "./find-task.ts";

/** Adds a command to the task's record. Every append returns the open commands. */
export async function sendCommand(context: MongoContext, key: TaskKey, { id, bytes }: TaskCommand): Promise<boolean> {
  const _id = taskKey(key);
  const task = await findTask(context, _id);
  if (task === undefined) {
    return false;
  }
  if (task.commands.some((command) => command.id === id)) {
    return true;
  }
  const inline = await putInline(context, task, bytes);
  const { log } = task;
  const { matchedCount } = await context.collections.tasks.updateOne(
    { _id, log, "commands.id": { $ne: id }, [`commands.${commandsMax - 1}`]: { $exists: false } },
    { $push: { commands: { id, bytes: inline } }, ...("blob" in inline && { $set: { longLived: true } }) },
  );
  if (matchedCount > 0) {
    return true;
  }
  removeBlobsLater(context, [inline]);
  const again = await findTask(context, _id);
  if (
    again !== undefined &&
    again.commands.length >= commandsMax &&
    !again.commands.some((command) => command.id === id)
  ) {
    throw new StorageError("unavailable", `Task "${key.taskId}" has ${commandsMax} open commands`);
  }
  return again !== undefined;
}
