import { create, type DescMessage, isMessage, type Message } from "@bufbuild/protobuf";
import {
  ListTasksResponseSchema,
  SendMessageResponseSchema,
  StreamResponseSchema,
  type Task,
  TaskSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { GetTaskAtResponseSchema, WatchTaskResponseSchema } from "../../../gen/taskmanager/v1/task_manager_pb.ts";

/** A message around another one. */
interface Around {
  readonly schema: DescMessage;
  /** The message without the inner one. */
  readonly without: Message;
  /** The number of the field with the inner one. */
  readonly field: number;
}

/** A message with one task somewhere inside. */
export interface TaskInside {
  readonly task: Task;
  /** The messages around the task, the outermost first. */
  readonly around: readonly Around[];
  /** The message with another task in its place. */
  with(task: Task): Message;
}

const nothing = { case: undefined } as const;

/** The one task of an answer; undefined if it has none, or several. */
export function taskIn(message: Message): TaskInside | undefined {
  if (isMessage(message, TaskSchema)) return { task: message, around: [], with: (task) => task };
  if (isMessage(message, StreamResponseSchema) && message.payload.case === "task") {
    const { payload } = message;
    const around = { schema: StreamResponseSchema, without: { ...message, payload: nothing }, field: 1 };
    return inside(around, payload.value, (value) => ({ ...message, payload: { ...payload, value } }));
  }
  if (isMessage(message, SendMessageResponseSchema) && message.payload.case === "task") {
    const { payload } = message;
    const around = { schema: SendMessageResponseSchema, without: { ...message, payload: nothing }, field: 1 };
    return inside(around, payload.value, (value) => ({ ...message, payload: { ...payload, value } }));
  }
  if (isMessage(message, WatchTaskResponseSchema) && message.payload.case === "event") {
    const { payload } = message;
    const around = { schema: WatchTaskResponseSchema, without: { ...message, payload: nothing }, field: 2 };
    return inside(around, payload.value, (value) => ({ ...message, payload: { ...payload, value } }));
  }
  if (isMessage(message, GetTaskAtResponseSchema) && message.task !== undefined) {
    const { task: _, ...rest } = message;
    return inside({ schema: GetTaskAtResponseSchema, without: rest, field: 1 }, message.task, (task) => ({
      ...message,
      task,
    }));
  }
  if (isMessage(message, ListTasksResponseSchema) && message.tasks.length === 1) {
    const around = { schema: ListTasksResponseSchema, without: { ...message, tasks: [] }, field: 1 };
    return inside(around, message.tasks[0] as Task, (task) => ({ ...message, tasks: [task] }));
  }
  return undefined;
}

/** A task without what makes it large. */
export function withoutLists(task: Task): Task {
  return Object.assign(create(TaskSchema), task, { artifacts: [], history: [] });
}

function inside(around: Around, inner: Message, put: (inner: Message) => object): TaskInside | undefined {
  const found = taskIn(inner);
  return (
    found && {
      task: found.task,
      around: [around, ...found.around],
      with: (task) => put(found.with(task)) as Message,
    }
  );
}
