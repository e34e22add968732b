import { create } from "@bufbuild/protobuf";
import { timestampNow } from "@bufbuild/protobuf/wkt";
import type { ServiceImpl } from "@connectrpc/connect";
import {
  type A2AService,
  type Message,
  Role,
  type SendMessageRequest,
  SendMessageResponseSchema,
  type StreamResponse,
  StreamResponseSchema,
  type Task,
  TaskSchema,
  TaskState,
} from "../gen/lf/a2a/v1/a2a_pb.ts";
import { chunkText } from "./agent.ts";

/** The contract's messages without anything behind them: what Connect and Protobuf cost by themselves. */
export const bareService: Partial<ServiceImpl<typeof A2AService>> = {
  /** `echo`: the message itself. Anything else: a task as the task manager answers for the benchmarks' agent. */
  async sendMessage(request) {
    const message = messageOf(request);
    if (textOf(message).startsWith("echo"))
      return create(SendMessageResponseSchema, { payload: { case: "message", value: message } });
    const task = newTask(message, TaskState.COMPLETED, "Done");
    return create(SendMessageResponseSchema, { payload: { case: "task", value: task } });
  },

  /** `stream N`: the events that a reader of the task manager gets, each made when its turn comes. */
  async *sendStreamingMessage(request) {
    const message = messageOf(request);
    const count = Number(textOf(message).split(" ")[1]);
    const task = newTask(message, TaskState.SUBMITTED);
    const ids = { taskId: task.id, contextId: task.contextId };
    yield streamed({ case: "task", value: task });
    for (let index = 0; index < count; index++) {
      const artifact = { artifactId: "chunks", parts: [{ content: { case: "text" as const, value: chunkText } }] };
      yield create(StreamResponseSchema, {
        payload: { case: "artifactUpdate", value: { ...ids, artifact, append: index > 0 } },
      });
    }
    const status = { state: TaskState.COMPLETED, timestamp: timestampNow() };
    yield create(StreamResponseSchema, { payload: { case: "statusUpdate", value: { ...ids, status } } });
  },

  /** A task, then nothing for ever. */
  async *subscribeToTask(_request, { signal }) {
    yield streamed({ case: "task", value: newTask(undefined, TaskState.INPUT_REQUIRED, "What else?") });
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
  },
};

function streamed(payload: StreamResponse["payload"]): StreamResponse {
  return create(StreamResponseSchema, { payload });
}

function newTask(message: Message | undefined, state: TaskState, text?: string): Task {
  const id = crypto.randomUUID();
  const contextId = crypto.randomUUID();
  return create(TaskSchema, {
    id,
    contextId,
    status: {
      state,
      timestamp: timestampNow(),
      ...(text !== undefined && {
        message: {
          messageId: crypto.randomUUID(),
          taskId: id,
          contextId,
          role: Role.AGENT,
          parts: [{ content: { case: "text", value: text } }],
        },
      }),
    },
    history: message === undefined ? [] : [{ ...message, taskId: id, contextId }],
  });
}

function messageOf({ message }: SendMessageRequest): Message {
  if (message === undefined) throw new Error("A request without a message");
  return message;
}

function textOf({ parts }: Message): string {
  const content = parts[0]?.content;
  return content?.case === "text" ? content.value : "";
}
