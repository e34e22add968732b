import type { TaskKey } from "../../../domain/scope.ts";
import type { OperationArgs } from "../../storage-engine.ts";
import type { Moment } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { Tables, TaskRow } from "../tables.ts";
import { removeMessages } from "./history.ts";

export interface TaskArgs {
  readonly key: TaskKey;
}

/** The task under a key whose conversation is live. */
export function* findTask(tables: Tables, key: TaskKey, at: Moment): Steps<TaskRow | undefined> {
  const task = yield* step(tables.task(key, at));
  return task?.live === true ? task : undefined;
}

export function* taskExists(tables: Tables, { key }: TaskArgs, at: Moment): Steps<boolean> {
  return (yield* findTask(tables, key, at)) !== undefined;
}

/** Hides the task; `sweep` removes its rows. Its messages and claims go at once. */
export function* deleteTask(tables: Tables, { key }: TaskArgs, at: Moment): Steps<boolean> {
  const task = yield* findTask(tables, key, at);
  if (task === undefined) {
    return false;
  }
  yield* removeMessages(tables, task.conversation, yield* step(tables.messagesOfTask(task.id)));
  yield* step(tables.removeClaimsOfTask(task.conversation, key.taskId));
  yield* step(tables.hideTask(task.id));
  return true;
}

export function* sendCommand(
  tables: Tables,
  { key, command }: OperationArgs<"sendCommand">,
  at: Moment,
): Steps<boolean> {
  const task = yield* findTask(tables, key, at);
  if (task === undefined) {
    return false;
  }
  yield* step(tables.addCommand(task.id, command));
  return true;
}
