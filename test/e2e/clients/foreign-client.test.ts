import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Client } from "@a2a-js/sdk/client";
import { test as base, expect } from "vitest";
import { bindings } from "../bindings.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";
import { foreignClientByCard, foreignRequest as request } from "./foreign-sdk.ts";

/**
 * The gRPC client of the A2A project's own SDK for JavaScript, against a server of its own process, on a database that
 * outlives it.
 */

/** A database, and the server that runs on it now. */
interface Home {
  server: ServeProcess;
  start(): Promise<ServeProcess>;
}

const withHome = base.extend("home", async ({ task }, { onCleanup }) => {
  const folder = mkdtempSync(join(tmpdir(), "a2a-foreign-"));
  const start = () => startServer(["--storage", `sqlite:${join(folder, "tasks.db")}`]);
  const home: Home = { server: await start(), start };
  onCleanup(async () => {
    await home.server.end("SIGKILL");
    // A failed test keeps its database as evidence.
    if (task.result?.state === "pass") rmSync(folder, { recursive: true, force: true });
  });
  return home;
});

/** At once: they mostly wait until the place of a server that was killed is free. */
const test = withHome.concurrent;

function clientOf({ url }: ServeProcess): Promise<Client> {
  return foreignClientByCard(url);
}

interface Folded {
  id: string;
  state: number;
  readonly texts: string[];
}

/** What a client makes of the events it was sent. */
function fold(seen: Folded, event: unknown): void {
  const { payload } = event as { payload: { $case: string; value: Record<string, never> } };
  const value = payload.value as {
    readonly id?: string;
    readonly status?: { readonly state: number };
    readonly artifact?: { readonly parts: readonly { readonly content: { readonly value: string } }[] };
  };
  if (payload.$case === "task") seen.id = value.id ?? "";
  if (value.status !== undefined) seen.state = value.status.state;
  for (const part of value.artifact?.parts ?? []) seen.texts.push(part.content.value);
}

test("a stream of 10,000 events, kill -9, and the task is what was streamed", async ({ home }) => {
  const seen: Folded = { id: "", state: 0, texts: [] };
  for await (const event of (await clientOf(home.server)).sendMessageStream(request("stream 10000"))) fold(seen, event);
  expect([seen.state, seen.texts.length, seen.texts[0]?.length]).toEqual([3, 10_000, 40]);
  expect(await home.server.end("SIGKILL")).toBe(null);

  home.server = await home.start();
  const client = await clientOf(home.server);
  const task = await client.getTask({ tenant: "", id: seen.id, historyLength: undefined });
  const texts = task.artifacts.flatMap((artifact) =>
    artifact.parts.map((part) => (part.content as unknown as { readonly value: string }).value),
  );
  expect([task.status?.state, texts.length]).toEqual([seen.state, seen.texts.length]);
  expect(texts).toEqual(seen.texts);
});

test.for([
  20, 80, 200, 320,
])("kill -9 when %d events of a stream were read: all of them are in the log, and the task ends honestly", async (wanted, {
  home,
}) => {
  const seen: Folded = { id: "", state: 0, texts: [] };
  const reading = (async () => {
    for await (const event of (await clientOf(home.server)).sendMessageStream(request("count 10000 2"))) {
      fold(seen, event);
      if (seen.texts.length === wanted) void home.server.end("SIGKILL");
    }
  })();
  await expect(reading).rejects.toThrow();
  expect(seen.texts.length).toBeGreaterThanOrEqual(wanted);

  await home.server.exited;
  home.server = await home.start();
  const binding = bindings[0];
  const watched = [];
  const { tasks } = binding?.connect(home.server.url.origin) ?? {};
  for await (const { sequence, payload } of tasks?.watchTask({ taskId: seen.id, afterSequence: 0n }) ?? [])
    watched.push({ sequence, payload });
  const texts = watched.flatMap(({ payload }) =>
    payload.case === "event" && payload.value.payload.case === "artifactUpdate"
      ? (payload.value.payload.value.artifact?.parts.map(({ content }) => content.value) ?? [])
      : [],
  );
  expect(texts.slice(0, seen.texts.length)).toEqual(seen.texts);
  const sequences = watched.map(({ sequence }) => sequence);
  expect(sequences).toEqual([...new Set(sequences)].toSorted((a, b) => Number(a - b)));
  const task = await (await clientOf(home.server)).getTask({ tenant: "", id: seen.id, historyLength: undefined });
  expect([
    task.status?.state,
    (task.status?.message?.parts[0]?.content as unknown as { readonly value: string }).value,
  ]).toEqual([4, "The server failed while the agent worked on this task"]);
});

test("sends, lists, cancels, subscribes, and is refused with A2A's errors", async ({ home }) => {
  const client = await clientOf(home.server);
  const sent = (await client.sendMessage(request("hello"))) as unknown as {
    readonly id: string;
    readonly status: { readonly state: number };
  };
  expect(sent.status.state).toBe(3);
  const asked = (await client.sendMessage(request("ask what?"))) as unknown as {
    readonly id: string;
    readonly status: { readonly state: number };
  };
  expect(asked.status.state).toBe(6);
  const canceled = await client.cancelTask({ tenant: "", id: asked.id, metadata: undefined });
  expect(canceled.status?.state).toBe(5);
  await expect(client.cancelTask({ tenant: "", id: asked.id, metadata: undefined })).rejects.toThrow(/CANCELED/);
  await expect(client.getTask({ tenant: "", id: "nowhere", historyLength: undefined })).rejects.toThrow(/No task/);
  await expect(client.sendMessage(request("more", sent.id))).rejects.toThrow(/ended/);
});

test("a second server on the same database is refused, and says why", async ({ home }) => {
  await expect(home.start()).rejects.toThrow(/is in use by process \d+/);
});
