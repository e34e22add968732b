import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { describe, expect, inject, it } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { isTerminal, stateNames } from "../../../src/domain/task-state.ts";
import { eventually } from "../../runner/eventually.ts";
import { bindings, type Clients } from "../bindings.ts";
import { userMessage } from "../calls/call-fixtures.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** A planned restart, and one that is cut off by `kill -9`, on each engine. */

/** Ends once there is a file with the name of its message. Leaves a mark when it begins. */
const agent = `
  import { existsSync, writeFileSync } from "node:fs";
  import { join } from "node:path";
  import { setTimeout as delay } from "node:timers/promises";
  const parts = (text) => [{ content: { case: "text", value: text } }];
  const says = (state, text) => ({ statusUpdate: { state, message: { parts: parts(text) } } });
  export default {
    async *processMessage({ message, signal, attempt }) {
      const name = message.parts[0].content.value;
      if (name.startsWith("shows")) yield says(2, "so far");
      writeFileSync(join(process.env.FOLDER, name + ".begun"), "");
      while (!existsSync(join(process.env.FOLDER, name))) await delay(5, undefined, { signal });
      yield says(3, "attempt " + attempt);
    },
  };
`;

const engines: readonly {
  readonly name: string;
  open(folder: string): { readonly url: string; remove(): Promise<void> };
}[] = [
  { name: "SQLite", open: (folder) => ({ url: `sqlite:${join(folder, "tasks.db")}`, remove: async () => {} }) },
  {
    name: "MongoDB",
    open() {
      const database = `restart_${crypto.randomUUID().replaceAll("-", "")}`;
      const url = new URL(inject("mongodbUri").replace(/^mongodb:\/\/[^/]*\/?$/, "$&/"));
      url.pathname = `/${database}`;
      const remove = async () => {
        await using client = new MongoClient(inject("mongodbUri"));
        await client.db(database).dropDatabase();
      };
      return { url: url.href, remove };
    },
  },
];

interface Place {
  start(...args: readonly string[]): Promise<ServeProcess>;
  /** Lets the turns of a message end. */
  let(name: string): void;
  begun(name: string): Promise<void>;
}

function placeOn(engine: (typeof engines)[number], ends: (end: () => Promise<void>) => void): Place {
  const folder = mkdtempSync(join(tmpdir(), "a2a-restart-"));
  writeFileSync(join(folder, "agent.mjs"), agent);
  const { url, remove } = engine.open(folder);
  ends(async () => {
    await remove();
    rmSync(folder, { recursive: true, force: true });
  });
  const fixed = ["--storage", url, "--processor", join(folder, "agent.mjs"), "--max-running-tasks", "3"];
  return {
    async start(...args) {
      const server = await startServer([...fixed, ...args], { FOLDER: folder });
      ends(async () => {
        await server.end("SIGKILL");
      });
      return server;
    },
    let: (name) => writeFileSync(join(folder, name), ""),
    begun: async (name) => {
      const begun = () => existsSync(join(folder, `${name}.begun`));
      await eventually(`the turn of "${name}" has begun`, begun, { timeoutMs: 30_000 });
    },
  };
}

function clientsOf({ url }: ServeProcess): Clients {
  const [binding] = bindings;
  if (binding === undefined) throw new Error("No binding");
  return binding.connect(url.origin);
}

async function send({ a2a }: Clients, name: string): Promise<string> {
  const { payload } = await a2a.sendMessage({
    message: userMessage(name),
    configuration: { returnImmediately: true },
  });
  if (payload.case !== "task") throw new Error(`Answered with a ${payload.case}`);
  return payload.value.id;
}

async function endOf(clients: Clients, id: string): Promise<readonly unknown[]> {
  const { status } = await eventually(
    `task "${id}" has ended`,
    async () => {
      const task = await clients.a2a.getTask({ id });
      return isTerminal(task.status?.state ?? 0) && task;
    },
    { timeoutMs: 30_000 },
  );
  const { state = TaskState.UNSPECIFIED, message } = status ?? {};
  const reason = message?.metadata?.["a2a-task-manager/reason"];
  return [stateNames[state], message?.parts[0]?.content.value, ...(reason === undefined ? [] : [reason])];
}

async function isDraining({ url }: ServeProcess): Promise<boolean> {
  return (await fetch(new URL("/readyz", url))).status === 503;
}

const names = ["ends", "nothing", "shows something", "queued"];

describe.concurrent.each(engines)("$name", (engine) => {
  it("a server that was shut down fails no more than it must, and the next one waits for nothing", {
    timeout: 90_000,
  }, async ({ onTestFinished }) => {
    const place = placeOn(engine, onTestFinished);
    const first = await place.start("--drain-turns", "2s");
    const before = clientsOf(first);
    const ids: string[] = [];
    for (const name of names) ids.push(await send(before, name));
    for (const name of names.slice(0, 3)) await place.begun(name);
    const exited = first.end("SIGTERM");
    await eventually("the server drains", () => isDraining(first), { timeoutMs: 30_000 });
    place.let("ends");
    expect(await exited).toBe(0);
    for (const name of names) place.let(name);
    // A watch would last for longer than this test may.
    const clients = clientsOf(await place.start("--lease", "10m"));
    expect(await Promise.all(ids.map((id) => endOf(clients, id)))).toEqual([
      ["TASK_STATE_COMPLETED", "attempt 1"],
      ["TASK_STATE_COMPLETED", "attempt 2"],
      ["TASK_STATE_FAILED", "The server was shut down while the agent worked on this task", "SERVER_SHUTDOWN"],
      ["TASK_STATE_COMPLETED", "attempt 1"],
    ]);
  });

  it("a server that is killed while it drains loses nothing, and fails only turns that ran", {
    timeout: 90_000,
  }, async ({ onTestFinished }) => {
    const place = placeOn(engine, onTestFinished);
    const first = await place.start("--drain-turns", "10m");
    const before = clientsOf(first);
    const ids: string[] = [];
    for (const name of names) ids.push(await send(before, name));
    for (const name of names.slice(0, 3)) await place.begun(name);
    first.signal("SIGTERM");
    await eventually("the server drains", () => isDraining(first), { timeoutMs: 30_000 });
    place.let("ends");
    expect(await endOf(before, ids[0] ?? "")).toEqual(["TASK_STATE_COMPLETED", "attempt 1"]);
    await first.end("SIGKILL");
    for (const name of names) place.let(name);
    const clients = clientsOf(await place.start());
    const lost = ["TASK_STATE_FAILED", "The server failed while the agent worked on this task", "SERVER_FAILED"];
    expect(await Promise.all(ids.map((id) => endOf(clients, id)))).toEqual([
      ["TASK_STATE_COMPLETED", "attempt 1"],
      lost,
      lost,
      ["TASK_STATE_COMPLETED", "attempt 1"],
    ]);
  });
});
