import type { Client } from "@a2a-js/sdk/client";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { startRawServer } from "../../transport/listener/raw-server.ts";
import { foreignBindings, foreignClient, foreignClientByCard, foreignRequest as request } from "./foreign-sdk.ts";

/**
 * The A2A project's own SDK for JavaScript over each of its bindings: what it makes of our answers, errors by their
 * classes.
 */

let raw: Awaited<ReturnType<typeof startRawServer>>;
beforeAll(async () => {
  raw = await startRawServer();
});
afterAll(() => raw[Symbol.asyncDispose]());

interface SdkTask {
  readonly id: string;
  readonly contextId: string;
  readonly status: { readonly state: number; readonly timestamp?: string };
  readonly artifacts: readonly { readonly parts: readonly { readonly content: { readonly value: string } }[] }[];
  readonly history: readonly unknown[];
}

const state = { working: 2, completed: 3, canceled: 5, inputRequired: 6 };

/**
 * The names of the errors' classes differ by transport only in their beginning. An error in an event, as JSON-RPC tells
 * the refusal of a stream, is the cause of a general one.
 */
async function failure(call: Promise<unknown> | AsyncIterable<unknown>): Promise<string> {
  try {
    if (Symbol.asyncIterator in call) for await (const _event of call);
    else await call;
  } catch (error) {
    const told = error instanceof Error && error.cause instanceof Error ? error.cause : error;
    return told instanceof Error ? `${told.name}: ${told.message}` : String(told);
  }
  return "no failure";
}

async function events(stream: AsyncIterable<unknown>) {
  const all: { readonly kind: string; readonly value: SdkTask }[] = [];
  for await (const event of stream) {
    const { payload } = event as { readonly payload: { readonly $case: string; readonly value: SdkTask } };
    all.push({ kind: payload.$case, value: payload.value });
  }
  return all;
}

describe.each(foreignBindings)("@a2a-js/sdk over %s", (binding) => {
  let client: Client;
  const send = async (text: string, taskId = "", configuration?: object) =>
    (await client.sendMessage(request(text, taskId, configuration))) as unknown as SdkTask;

  beforeAll(async () => {
    client = await foreignClient(raw.server.url, binding);
  });

  test("finds its way by the server's card", async () => {
    const byCard = await foreignClientByCard(raw.server.url, binding);
    const sent = (await byCard.sendMessage(request("hello"))) as unknown as SdkTask;
    expect(sent.status.state).toBe(state.completed);
    expect((await events(byCard.sendMessageStream(request("stream 3")))).at(-1)?.value.status.state).toBe(
      state.completed,
    );
  });

  test("sends a message and reads the task", async () => {
    const sent = await send("hello");
    expect([sent.status.state, sent.artifacts[0]?.parts[0]?.content.value]).toEqual([state.completed, "hello"]);
    const read = (await client.getTask({ tenant: "", id: sent.id, historyLength: 1 })) as unknown as SdkTask;
    expect([read.id, read.history.length, read.status.timestamp]).toEqual([sent.id, 1, sent.status.timestamp]);
  });

  test("gets a bare message", async () => {
    const answer = (await client.sendMessage(request("reply hi"))) as unknown as {
      readonly role: number;
      readonly parts: SdkTask["artifacts"][0]["parts"];
    };
    expect([answer.role, answer.parts[0]?.content.value]).toEqual([2, "hi"]);
  });

  test("streams", async () => {
    const seen = await events(client.sendMessageStream(request("stream 50")));
    expect(seen.map(({ kind }) => kind)).toEqual([
      "task",
      "statusUpdate",
      ...Array(50).fill("artifactUpdate"),
      "statusUpdate",
    ]);
    expect(seen.at(-1)?.value.status.state).toBe(state.completed);
  });

  test("subscribes to a running task", async () => {
    const { id } = await send("count 3 30", "", { acceptedOutputModes: [], returnImmediately: true });
    const seen = await events(client.resubscribeTask({ tenant: "", id }));
    expect([seen[0]?.kind, seen[0]?.value.id, seen.at(-1)?.value.status.state]).toEqual(["task", id, state.completed]);
  });

  test("answers a question, and cancels another", async () => {
    const asked = await send("ask what?");
    expect(asked.status.state).toBe(state.inputRequired);
    expect((await send("this", asked.id)).status.state).toBe(state.completed);
    const { id } = await send("ask what?");
    const canceled = (await client.cancelTask({ tenant: "", id, metadata: undefined })) as unknown as SdkTask;
    expect(canceled.status.state).toBe(state.canceled);
  });

  test("lists in pages with filters", async () => {
    const tenant = `list-${binding}`;
    const own = await foreignClient(raw.server.url, binding, tenant);
    for (const text of ["one", "two", "three"]) await own.sendMessage(request(text));
    const query = {
      tenant: "",
      contextId: "",
      status: state.completed,
      pageSize: 2,
      pageToken: "",
      includeArtifacts: true,
    } as Parameters<Client["listTasks"]>[0];
    const first = await own.listTasks(query);
    const second = await own.listTasks({ ...query, pageToken: first.nextPageToken });
    expect([first.tasks.length, first.totalSize, first.pageSize, second.tasks.length, second.nextPageToken]).toEqual([
      2,
      3,
      2,
      1,
      "",
    ]);
    expect(first.tasks.map((task) => (task as unknown as SdkTask).artifacts.length)).toEqual([1, 1]);
    expect((await own.listTasks({ ...query, statusTimestampAfter: "2100-01-01T00:00:00.000Z" })).totalSize).toBe(0);
  });

  test("sends to its tenant, and others don't see it", async () => {
    const own = await foreignClient(raw.server.url, binding, "acme corp/1");
    const { id } = (await own.sendMessage(request("hello"))) as unknown as SdkTask;
    expect(((await own.getTask({ tenant: "", id, historyLength: 0 })) as unknown as SdkTask).id).toBe(id);
    expect(await failure(client.getTask({ tenant: "", id, historyLength: 0 }))).toMatch(/TaskNotFound/);
  });

  test("knows our errors", async () => {
    const done = await send("hello");
    expect(await failure(client.getTask({ tenant: "", id: "nowhere", historyLength: undefined }))).toMatch(
      /TaskNotFound.*: .*No task "nowhere"/,
    );
    expect(await failure(client.cancelTask({ tenant: "", id: done.id, metadata: undefined }))).toMatch(
      /TaskNotCancelable/,
    );
    expect(await failure(client.sendMessage(request("more", done.id)))).toMatch(/UnsupportedOperation/);
    expect(await failure(client.sendMessageStream(request("more", done.id)))).toMatch(/UnsupportedOperation/);
    expect(await failure(client.resubscribeTask({ tenant: "", id: done.id }))).toMatch(/UnsupportedOperation/);
    expect(await failure(client.resubscribeTask({ tenant: "", id: "nowhere" }))).toMatch(/TaskNotFound/);
    expect(await failure(client.getTaskPushNotificationConfig({ tenant: "", taskId: "t", id: "c" }))).toMatch(
      /PushNotificationNotSupported/,
    );
    expect(await failure(client.sendMessage(request("", done.id)))).not.toBe("no failure");
  });
});

test.each(foreignBindings)("@a2a-js/sdk over %s is told when a stream breaks", async (binding) => {
  const going = await startRawServer();
  const client = await foreignClient(going.server.url, binding);
  const { id } = (await client.sendMessage(request("ask what?"))) as unknown as SdkTask;
  const stream = client.resubscribeTask({ tenant: "", id });
  expect((await stream.next()).done).toBe(false);
  const broken = failure(stream);
  await going[Symbol.asyncDispose]();
  expect(await broken).toMatch(/closed/);
});
