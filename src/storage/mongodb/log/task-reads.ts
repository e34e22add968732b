import type { TaskKey } from "../../../domain/scope.ts";
import type { Snapshot, StoredTask, TaskCommand } from "../../storage.ts";
import type { MongoContext } from "../context.ts";
import { joinParent } from "../conversations/conversations.ts";
import { bigintOf, taskKey } from "../keys.ts";
import { releaseLater } from "../lifetime/pins.ts";
import { attemptsMax } from "../limits.ts";
import type { CommandRecord, TaskRecord } from "../records.ts";
import { readInline } from "./blobs.ts";
import { findTask, readUnlessMissing } from "./find-task.ts";
import { readSnapshot } from "./snapshots.ts";

export async function taskExists(context: MongoContext, key: TaskKey): Promise<boolean> {
  const stages = [
    { $match: { _id: taskKey(key) } },
    { $project: { conversation: 1, incarnation: 1 } },
    ...joinParent(context),
    { $project: { _id: 1 } },
  ];
  return (await readUnlessMissing(context, stages)).length > 0;
}

export async function getTask(
  context: MongoContext,
  key: TaskKey,
  snapshotLogBytesMax: number,
): Promise<StoredTask | undefined> {
  const _id = taskKey(key);
  for (let attempt = 1; ; attempt++) {
    const task = await findTask(context, _id);
    if (task === undefined) {
      return undefined;
    }
    releaseLater(context, task);
    const withSnapshot = task.logBytes <= snapshotLogBytesMax;
    const snapshot =
      withSnapshot && task.snapshot !== undefined ? await readSnapshot(context, task.log, task.snapshot) : undefined;
    const [stored] = await storedTasks(context, [task]);
    // A snapshot or a blob was replaced between two reads, and the record refers to the new one by now. A snapshot may
    // be missing: it is only a cache.
    const whole = stored !== undefined && (!withSnapshot || task.snapshot === undefined || snapshot !== undefined);
    if (whole || attempt === attemptsMax) {
      return stored === undefined ? undefined : withSnapshotOf(stored, snapshot);
    }
  }
}

function withSnapshotOf(stored: StoredTask, snapshot: Snapshot | undefined): StoredTask {
  return snapshot === undefined ? stored : { ...stored, snapshot };
}

/** The tasks in the form that callers get. A task whose blobs were replaced since it was read is left out. */
export async function storedTasks(context: MongoContext, tasks: readonly TaskRecord[]): Promise<readonly StoredTask[]> {
  const bytes = await readInline(
    context,
    tasks.flatMap(({ summary, commands }) => [summary, ...commands.map((command) => command.bytes)]),
  );
  let at = 0;
  return tasks.flatMap((task) => {
    const summary = bytes[at++];
    const commands = task.commands.map(({ id }) => ({ id, bytes: bytes[at++] }));
    if (summary === undefined || commands.some((command) => command.bytes === undefined)) {
      return [];
    }
    return [storedTask(task, summary, commands as TaskCommand[])];
  });
}

function storedTask(task: TaskRecord, summary: Uint8Array, commands: readonly TaskCommand[]): StoredTask {
  const { tenant, owner, taskId, contextId, head, batch, state, statusTime, replica, fence, logBytes } = task;
  return {
    key: { tenant, owner, taskId },
    contextId,
    head: BigInt(head),
    batch,
    state,
    statusTimeMs: statusTime,
    replica,
    fence: bigintOf(fence),
    summary,
    logBytes,
    commands: commands,
  };
}

/** The open commands of a record. A command whose blob is gone was handled meanwhile. */
export async function readCommands(
  context: MongoContext,
  commands: readonly CommandRecord[],
): Promise<readonly TaskCommand[]> {
  const bytes = await readInline(
    context,
    commands.map((command) => command.bytes),
  );
  return commands.flatMap(({ id }, index) => {
    const found = bytes[index];
    return found === undefined ? [] : [{ id, bytes: found }];
  });
}
