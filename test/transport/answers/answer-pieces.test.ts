import { create, type DescMessage, equals, fromBinary, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  ListTasksResponseSchema,
  Role,
  SendMessageResponseSchema,
  StreamResponseSchema,
  type Task,
  TaskSchema,
  TaskState,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { GetTaskAtResponseSchema, WatchTaskResponseSchema } from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { binaryPieces, jsonPieces } from "../../../src/transport/answers/answer-pieces.ts";
import { writeJson } from "../../../src/transport/proto-json/write-json.ts";

const text = (value: string) => ({ content: { case: "text", value } }) as const;
const raw = (bytes: number) => ({ content: { case: "raw", value: new Uint8Array(bytes).fill(7) } }) as const;

/** Small parts, large ones and none, so that groups grow and shrink. */
const task = (): Task =>
  create(TaskSchema, {
    id: "task",
    contextId: "context",
    status: { state: TaskState.COMPLETED, timestamp: { seconds: 1n } },
    metadata: { key: [1, { deep: '"parts":[]' }] },
    artifacts: [
      { artifactId: "small", parts: Array.from({ length: 5_000 }, (_, index) => text(`${index} ü "quoted"`)) },
      { artifactId: "none", metadata: { parts: [] }, extensions: ["urn:x"] },
      { artifactId: "large", name: "large", parts: [raw(600_000), text("a"), raw(300_000), text("b"), text("c")] },
    ],
    history: [
      { messageId: "1", role: Role.USER, parts: [text("question")] },
      { messageId: "2", role: Role.AGENT, parts: [text("x".repeat(700_000))] },
    ],
  });

const answers: readonly (readonly [string, DescMessage, (task: Task) => Message])[] = [
  ["a task", TaskSchema, (each) => each],
  answer(StreamResponseSchema, (value) => ({ payload: { case: "task" as const, value } })),
  answer(SendMessageResponseSchema, (value) => ({ payload: { case: "task" as const, value } })),
  answer(WatchTaskResponseSchema, (value) => ({
    sequence: 2n ** 63n,
    payload: {
      case: "event" as const,
      value: create(StreamResponseSchema, { payload: { case: "task" as const, value } }),
    },
  })),
  answer(GetTaskAtResponseSchema, (each) => ({ task: each, head: 9n })),
  answer(ListTasksResponseSchema, (each) => ({ tasks: [each], pageSize: 1, totalSize: 2, nextPageToken: "next" })),
  ["several tasks", ListTasksResponseSchema, (each) => create(ListTasksResponseSchema, { tasks: [each, each] })],
];

function answer<Desc extends DescMessage>(schema: Desc, wrap: (task: Task) => MessageInitShape<Desc>) {
  return [schema.name, schema, (each: Task) => create(schema, wrap(each)) as Message] as const;
}

describe.each(answers)("%s in pieces", (_, schema, wrap) => {
  test("is the same message in protobuf", async () => {
    const message = wrap(task());
    const { pieces, bytes } = await binaryPieces(schema, message, () => undefined);
    const whole = Buffer.concat(pieces);
    expect(whole.byteLength).toBe(bytes);
    expect(equals(schema, fromBinary(schema, whole), message)).toBe(true);
  });

  test("is the same value in JSON", async () => {
    const message = wrap(task());
    const write = (each: Message) => `{"result":${writeJson(schema, each)}}`;
    const { pieces, bytes } = await jsonPieces(message, write, () => undefined);
    const whole = Buffer.concat(pieces);
    expect(whole.byteLength).toBe(bytes);
    expect(JSON.parse(whole.toString())).toEqual(JSON.parse(write(message)));
  });
});

test("answers that show one task share the bytes of its lists, which are counted once", async () => {
  const { artifacts, history, ...rest } = task();
  const made: number[] = [];
  const views = Array.from({ length: 5 }, (_, index) => ({ ...rest, id: `task ${index}`, artifacts, history }) as Task);
  const binary = await Promise.all(views.map((view) => binaryPieces(TaskSchema, view, (bytes) => made.push(bytes))));
  expect(new Set(binary.map(({ pieces }) => pieces.at(-1)?.buffer)).size).toBe(1);
  expect(made.length).toBe(1);
  const write = (each: Message) => writeJson(TaskSchema, each as Task);
  await Promise.all(views.map((view) => jsonPieces(view, write, (bytes) => made.push(bytes))));
  expect(made.length).toBe(3);
});

test("a text in another form is made as a whole", async () => {
  const write = (each: Message) => writeJson(TaskSchema, each as Task).replaceAll('"artifactId"', '"older"');
  const { pieces } = await jsonPieces(task(), write, () => undefined);
  expect(Buffer.concat(pieces).toString() === write(task())).toBe(true);
});

test("other calls go on while a large task is encoded", async () => {
  let turns = 0;
  let isDone = false;
  const count = () => {
    turns++;
    if (!isDone) setImmediate(count);
  };
  setImmediate(count);
  const parts = Array.from({ length: 64 }, () => raw(256 * 1024));
  await binaryPieces(TaskSchema, create(TaskSchema, { artifacts: [{ artifactId: "a", parts }] }), () => undefined);
  isDone = true;
  expect(turns).toBeGreaterThan(16);
});
