import type { JsonObject } from "@bufbuild/protobuf";
import { ConnectError } from "@connectrpc/connect";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { type StreamResponse, type Task, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { artifact, completed } from "../../../src/agent/processor-events.ts";
import {
  cursorParameter,
  eventIdOf,
  eventSequenceUri,
  sequenceKey,
} from "../../../src/transport/calls/event-sequence.ts";
import { eventsOf } from "../../transport/listener/raw-server.ts";
import { bindings, type Clients, toldError } from "../bindings.ts";
import { type Served, served } from "../served.ts";
import { sent, userMessage } from "./call-fixtures.ts";

/** The extension of docs/extensions/event-sequence.md. */

const plain = { "A2A-Version": "1.0" };
const active = { ...plain, "A2A-Extensions": eventSequenceUri };
const resuming = (cursor: string) => ({ ...active, [cursorParameter]: cursor });

async function collected(events: AsyncIterable<StreamResponse>): Promise<readonly StreamResponse[]> {
  const all: StreamResponse[] = [];
  for await (const event of events) all.push(event);
  return all;
}

const sequenceIn = (metadata: JsonObject | undefined) => metadata?.[sequenceKey];

let server: Served;
beforeAll(async () => {
  server = await served({ processor: demoProcessor });
});
afterAll(() => server[Symbol.asyncDispose]());

describe.each(bindings)("over $name", ({ connect }) => {
  const clients = (headers: Record<string, string>): Clients => connect(server.url.origin, headers);

  async function streamed(text: string) {
    const message = userMessage(text);
    const events = await collected(clients(active).a2a.sendStreamingMessage({ message }));
    const [first] = events;
    return { message, events, id: first?.payload.case === "task" ? first.payload.value.id : "" };
  }

  test("every event of a stream tells its sequence, and so does every task", async () => {
    const { events, id } = await streamed("stream 5");
    const sequences = events.map(eventIdOf);
    for (const sequence of sequences) expect(sequence).toMatch(/^[1-9]\d*$/);
    expect(sequences.map(Number)).toEqual([...new Set(sequences.map(Number))].toSorted((a, b) => a - b));
    const { a2a } = clients(active);
    const [listed] = (await a2a.listTasks({ includeArtifacts: true })).tasks.filter((task) => task.id === id);
    const [header] = (await a2a.listTasks({})).tasks.filter((task) => task.id === id);
    const tasks: (Task | undefined)[] = [await a2a.getTask({ id }), listed, header];
    expect(tasks.map((task) => sequenceIn(task?.metadata))).toEqual(tasks.map(() => sequences.at(-1)));
    const asked = await sent(clients(active), "ask what?");
    const before = Number(sequenceIn(asked.metadata));
    expect(before).toBeGreaterThan(1);
    expect(Number(sequenceIn((await a2a.cancelTask({ id: asked.id })).metadata))).toBeGreaterThan(before);
  });

  test("a subscription with a cursor goes on right after it, from any place, though the task has ended", async () => {
    const { events, id } = await streamed("stream 4");
    for (const [place, event] of events.entries()) {
      const rest = await collected(clients(resuming(eventIdOf(event) ?? "")).a2a.subscribeToTask({ id }));
      expect(rest).toEqual(events.slice(place + 1));
    }
    const [created, ...rest] = await collected(clients(resuming("0")).a2a.subscribeToTask({ id }));
    expect([created?.payload.case, created && eventIdOf(created)]).toEqual(["task", "1"]);
    expect(rest.slice(-5)).toEqual(events.slice(-5));
  });

  test("the same message sent again with a cursor goes on right after it", async () => {
    const { message, events } = await streamed("stream 4");
    const cursor = eventIdOf(events[3] ?? expect.unreachable()) ?? "";
    expect(await collected(clients(resuming(cursor)).a2a.sendStreamingMessage({ message }))).toEqual(events.slice(4));
  });

  test("a subscription with a cursor goes on with what comes later", async () => {
    const asked = await sent(clients(active), "ask what?");
    const reading = collected(
      clients(resuming(String(sequenceIn(asked.metadata)))).a2a.subscribeToTask({ id: asked.id }),
    );
    await sent(clients(plain), "this", { taskId: asked.id });
    const states = (await reading).flatMap(({ payload }) =>
      payload.case === "statusUpdate" ? [payload.value.status?.state] : [],
    );
    expect(states.at(-1)).toBe(TaskState.COMPLETED);
  });

  test("a cursor above the head is out of range, and the error says where the head is", async () => {
    const { message, events, id } = await streamed("stream 2");
    const { a2a } = clients(resuming("1000000"));
    for (const stream of [a2a.subscribeToTask({ id }), a2a.sendStreamingMessage({ message })]) {
      const error = await collected(stream).then(() => expect.unreachable(), ConnectError.from);
      const [info] = error.findDetails(ErrorInfoSchema);
      expect([info?.reason, info?.metadata.head]).toEqual([
        "OUT_OF_RANGE",
        eventIdOf(events.at(-1) ?? expect.unreachable()),
      ]);
    }
  });

  test.each([
    "-1",
    "1.5",
    "abc",
    "0x10",
    "1, 2",
    "18446744073709551616",
    "123456789012345678901",
  ])("a cursor of %s is named as the fault", async (cursor) => {
    const { a2a } = clients(resuming(cursor));
    for (const stream of [
      a2a.subscribeToTask({ id: "nowhere" }),
      a2a.sendStreamingMessage({ message: userMessage("hello") }),
    ]) {
      const told = await collected(stream).then(() => undefined, toldError);
      expect(told).toMatchObject({ code: "InvalidArgument", reason: "INVALID_REQUEST", fields: ["Last-Event-ID"] });
    }
  });

  test("the largest sequence is one, though no task has it, and an empty cursor is none", async () => {
    const { id } = await streamed("hello");
    const told = await collected(clients(resuming("18446744073709551615")).a2a.subscribeToTask({ id })).then(
      () => undefined,
      toldError,
    );
    expect(told?.reason).toBe("OUT_OF_RANGE");
    expect(
      (await collected(clients(resuming("")).a2a.subscribeToTask({ id })).then(() => undefined, toldError))?.reason,
    ).toBe("UNSUPPORTED_OPERATION");
  });

  test("an error, too, comes with the extensions that are active (R145)", async () => {
    const error = await clients(active)
      .a2a.getTask({ id: "nowhere" })
      .then(() => expect.unreachable(), ConnectError.from);
    expect(error.metadata.get("A2A-Extensions")).toBe(eventSequenceUri);
  });

  test("unless it is asked for, nothing of it is to be seen, and a cursor says nothing (R144)", async () => {
    const { a2a } = clients({ ...plain, [cursorParameter]: "1" });
    const message = userMessage("stream 2");
    const headers: (string | null)[] = [];
    const events = await collected(
      a2a.sendStreamingMessage({ message }, { onHeader: (header) => headers.push(header.get("A2A-Extensions")) }),
    );
    const again = await collected(a2a.sendStreamingMessage({ message }));
    expect([headers, events[0]?.payload.case, again[0]?.payload.case]).toEqual([[null], "task", "task"]);
    expect([...events, ...again].map(eventIdOf)).toEqual([...events, ...again].map(() => undefined));
    const id = events[0]?.payload.case === "task" ? events[0].payload.value.id : "";
    expect((await collected(a2a.subscribeToTask({ id })).then(() => undefined, toldError))?.reason).toBe(
      "UNSUPPORTED_OPERATION",
    );
    const tasks = [
      await a2a.getTask({ id }),
      ...(await a2a.listTasks({})).tasks,
      ...(await a2a.listTasks({ includeArtifacts: true })).tasks,
    ];
    expect(tasks.map(({ metadata }) => sequenceIn(metadata))).toEqual(tasks.map(() => undefined));
  });
});

describe("over SSE", () => {
  const message = () => ({ messageId: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "stream 3" }] });
  const rpc = (method: string, params: object) => JSON.stringify({ jsonrpc: "2.0", id: 1, method, params });

  async function events(path: string, headers: Record<string, string>, body?: string) {
    const init = body === undefined ? {} : { method: "POST", body };
    const response = await fetch(new URL(path, server.url), {
      ...init,
      headers: { "content-type": "application/json", ...headers },
    });
    return { activated: response.headers.get("a2a-extensions"), events: eventsOf(await response.text()).events };
  }

  test.each([
    [
      "HTTP+JSON",
      "/message:stream",
      () => JSON.stringify({ message: message() }),
      (id: string) => [`/tasks/${id}:subscribe`] as const,
    ],
    [
      "JSON-RPC",
      "/",
      () => rpc("SendStreamingMessage", { message: message() }),
      (id: string) => ["/", rpc("SubscribeToTask", { id })] as const,
    ],
  ])("%s writes the sequence as the event's id, which a client sends back as Last-Event-ID", async (_name, path, body, subscribe) => {
    const whole = await events(path, active, body());
    expect(whole.activated).toBe(eventSequenceUri);
    for (const { id, data = "" } of whole.events)
      expect(JSON.stringify(JSON.parse(data))).toContain(`"${sequenceKey}":"${id}"`);
    const [first, second, ...rest] = whole.events;
    const taskId = /"id":"([0-9a-f-]{36})"/.exec(first?.data ?? "")?.[1] ?? "";
    const [again, asked] = subscribe(taskId);
    const resumed = await events(again, resuming(second?.id ?? ""), asked);
    expect(resumed.events).toEqual(rest);
  });

  test.each([
    ["HTTP+JSON", "/message:stream", () => JSON.stringify({ message: message() })],
    ["JSON-RPC", "/", () => rpc("SendStreamingMessage", { message: message() })],
  ])("%s writes no id unless it is asked for", async (_name, path, body) => {
    const { activated, events: all } = await events(path, plain, body());
    expect([activated, all.length > 3, all.every(({ id }) => id === undefined)]).toEqual([null, true, true]);
  });
});

/** Numbers from 0 up to 1 that follow from a seed (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const seed = Number(process.env.SEED ?? Math.trunc(Math.random() * 2 ** 31));

test(`many readers that are cut at random places, over every binding and both calls, miss nothing and see nothing twice (SEED=${seed})`, async () => {
  const message = userMessage("count 150 1");
  const [first] = bindings;
  const whole = collected(
    first?.connect(server.url.origin, active).a2a.sendStreamingMessage({ message }) ?? expect.unreachable(),
  );
  const random = randomFrom(seed);
  const readers = Array.from({ length: 42 }, async (_, reader) => {
    const own = randomFrom(Math.trunc(random() * 2 ** 31) + reader);
    const seen: StreamResponse[] = [];
    for (let connections = 0; connections < 400; connections++) {
      const cursor = seen.at(-1);
      const headers = cursor === undefined ? active : resuming(eventIdOf(cursor) ?? "");
      const { a2a } =
        bindings[Math.trunc(own() * bindings.length)]?.connect(server.url.origin, headers) ?? expect.unreachable();
      const [task] = seen;
      const taskId = task?.payload.case === "task" ? task.payload.value.id : undefined;
      const cut = new AbortController();
      const events =
        taskId === undefined || own() < 0.5
          ? a2a.sendStreamingMessage({ message }, cut)
          : a2a.subscribeToTask({ id: taskId }, cut);
      let left = Math.trunc(own() * 12);
      try {
        for await (const event of events) {
          seen.push(event);
          if (left-- === 0) cut.abort();
        }
        if (!cut.signal.aborted) return seen;
      } catch (error) {
        if (!cut.signal.aborted) throw error;
      }
    }
    throw new Error(`Reader ${reader} never came to the end`);
  });
  const [began] = await whole;
  const id = began?.payload.case === "task" ? began.payload.value.id : "";
  const all = await collected(
    first?.connect(server.url.origin, resuming("0")).a2a.subscribeToTask({ id }) ?? expect.unreachable(),
  );
  for (const [task, ...rest] of await Promise.all(readers)) {
    expect(task?.payload.case).toBe("task");
    const from = all.findIndex((event) => Number(eventIdOf(event)) > Number(task && eventIdOf(task)));
    expect(rest.map(eventIdOf)).toEqual(all.slice(from).map(eventIdOf));
    expect(rest).toEqual(all.slice(from));
  }
}, 60_000);

test("nothing of it is stored, and what the agent says in metadata stays beside it", async () => {
  await using own = await served({
    processor: {
      async *processMessage() {
        yield artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] });
        yield {
          artifactUpdate: {
            artifact: { artifactId: "b", parts: [{ content: { case: "text", value: "y" } }] },
            metadata: { mine: [1, "two"], [sequenceKey]: "forged" },
          },
        };
        yield completed();
      },
    },
  });
  const [binding] = bindings;
  const { a2a, tasks } = binding?.connect(own.url.origin, active) ?? expect.unreachable();
  const events = await collected(a2a.sendStreamingMessage({ message: userMessage("go") }));
  const mine = events.find(
    ({ payload }) => payload.case === "artifactUpdate" && payload.value.artifact?.artifactId === "b",
  );
  expect(mine?.payload.value?.metadata).toEqual({ mine: [1, "two"], [sequenceKey]: mine && eventIdOf(mine) });
  expect(mine && eventIdOf(mine)).toMatch(/^\d+$/);
  const id = events[0]?.payload.case === "task" ? events[0].payload.value.id : "";
  // The log as it is, over a service that knows nothing of extensions.
  for await (const { payload } of tasks.watchTask({ taskId: id, afterSequence: 0n })) {
    const metadata = payload.case === "event" ? payload.value.payload.value?.metadata : undefined;
    expect(metadata?.[sequenceKey]).toBe(metadata?.mine === undefined ? undefined : "forged");
  }
});
