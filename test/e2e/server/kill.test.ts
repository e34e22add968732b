import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { equals } from "@bufbuild/protobuf";
import { MongoClient } from "mongodb";
import { describe, expect, inject, test, vi } from "vitest";
import {
  type Artifact,
  type StreamResponse,
  StreamResponseSchema,
  type Task,
  TaskSchema,
  TaskState,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { eventually } from "../../runner/eventually.ts";
import { randomOf } from "../../storage/faulty-storage.ts";
import { bindings, type Clients } from "../bindings.ts";
import { userMessage } from "../calls/call-fixtures.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/**
 * `kill -9` of the real server while streams run: each kill hits every stream at another place of its task, so that
 * `kills` × `streams` random points are tried on each engine. `KILL_SEED` repeats a run.
 */

const kills = 5;
const streams = 5;
const seed = Number(process.env.KILL_SEED ?? Math.floor(Math.random() * 2 ** 31));
process.stdout.write(`kill test: KILL_SEED=${seed}\n`);

/**
 * Never ends by itself in the server that its message names. In the next one a turn begins its artifact anew and
 * completes, so that its end is known.
 */
const agent = `
  import { setTimeout as delay } from "node:timers/promises";
  const parts = (text) => [{ content: { case: "text", value: text } }];
  const chunk = (text, append) => ({ artifactUpdate: { artifact: { artifactId: "a", parts: parts(text) }, append } });
  export default {
    onLost: process.env.ON_LOST,
    async *processMessage({ attempt, signal, message }) {
      const [server, pauseMs] = message.parts[0].content.value.split(" ");
      for (let n = 0; server === process.env.SERVER || n < 3; n++) {
        yield chunk(attempt + "/" + n, n > 0);
        if (pauseMs > 0 || n % 50 === 0) await delay(Number(pauseMs), undefined, { signal });
      }
      yield { statusUpdate: { state: 3, message: { parts: [{ content: { case: "text", value: "done" } }] } } };
    },
  };
`;

const engines: readonly {
  readonly name: string;
  open(folder: string): Promise<{ readonly url: string; remove(): Promise<void> }>;
}[] = [
  { name: "SQLite", open: async (folder) => ({ url: `sqlite:${join(folder, "tasks.db")}`, remove: async () => {} }) },
  {
    name: "MongoDB",
    async open() {
      const database = `kill_${crypto.randomUUID().replaceAll("-", "")}`;
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

/** What one client was sent before its server died. */
interface Heard {
  readonly sent: StreamResponse[];
  readonly watched: { readonly sequence: bigint; readonly event: StreamResponse }[];
}

describe.concurrent.each(engines)("$name", ({ name, open }) => {
  test(`killed at ${kills * streams} random points, loses nothing that a client had received, and ends every task`, {
    timeout: 150_000,
  }, async () => {
    const random = randomOf(seed + name.length);
    const folder = mkdtempSync(join(tmpdir(), "a2a-kill-"));
    writeFileSync(join(folder, "agent.mjs"), agent);
    const storage = await open(folder);
    const args = ["--storage", storage.url, "--processor", join(folder, "agent.mjs")];
    const start = (number: number, onLost: string) => startServer(args, { SERVER: String(number), ON_LOST: onLost });
    let server = await start(0, "fail");
    const heardBefore: Heard[] = [];
    try {
      for (let kill = 0; kill < kills; kill++) {
        const heard = await streamUntilKilled(server, kill, random);
        expect(heard.length).toBe(streams);
        heardBefore.push(...heard);
        const onLost = kill % 2 === 0 ? "fail" : "resume";
        server = await start(kill + 1, onLost);
        const clients = clientsOf(server, kill);
        for (const one of heard) await expectKept(clients, one, onLost);
      }
      // None of those that no client had heard of is left either.
      const { a2a } = clientsOf(server, 0);
      for (const status of [TaskState.SUBMITTED, TaskState.WORKING]) {
        await vi.waitFor(async () => expect((await a2a.listTasks({ status })).totalSize).toBe(0), {
          timeout: 30_000,
          interval: 50,
        });
      }
      expect((await a2a.listTasks({})).totalSize).toBeGreaterThanOrEqual(heardBefore.length);
    } finally {
      await server.end("SIGKILL");
    }
    // Kept as evidence if something failed.
    await storage.remove();
    rmSync(folder, { recursive: true, force: true });
  });
});

function clientsOf({ url }: ServeProcess, index: number): Clients {
  const binding = bindings[index % bindings.length];
  if (binding === undefined) throw new Error("No binding");
  return binding.connect(url.origin);
}

/**
 * Lets streams begin one after the other, each once the ones before it have come some random way, and kills the server
 * at a random place. Gives what was heard.
 */
async function streamUntilKilled(
  server: ServeProcess,
  number: number,
  random: () => number,
): Promise<readonly Heard[]> {
  const all: Heard[] = [];
  const ended: Promise<void>[] = [];
  const killAt = 100 + Math.floor(random() * 2_000);
  let received = 0;
  let killed = false;
  const moved = () => {
    received++;
    // Not before each has begun: one that has no id yet couldn't be looked after.
    if (killed || received < killAt || all.length < streams || all.some(({ watched }) => watched.length === 0)) return;
    killed = true;
    void server.end("SIGKILL");
  };
  for (let index = 0; index < streams; index++) {
    const heard: Heard = { sent: [], watched: [] };
    all.push(heard);
    const clients = clientsOf(server, index);
    const pauseMs = Math.floor(random() * 4);
    ended.push(
      read(clients.a2a.sendStreamingMessage({ message: userMessage(`${number} ${pauseMs}`) }), (event) => {
        heard.sent.push(event);
        if (heard.sent.length === 1) ended.push(watch(clientsOf(server, index + 1), heard, moved));
        moved();
      }),
    );
    const next = received + random() * (killAt / streams);
    await eventually("the streams have come that far", () => received >= next || killed, {
      timeoutMs: 60_000,
      intervalMs: 1,
    });
  }
  await server.exited;
  // Watches are added to the list while it is waited for.
  for (const one of ended) await one;
  expect(killed).toBe(true);
  return all;
}

async function watch({ tasks }: Clients, heard: Heard, moved: () => void): Promise<void> {
  await read(tasks.watchTask({ taskId: taskOf(heard).id, afterSequence: 0n }), ({ sequence, payload }) => {
    if (payload.case === "event") heard.watched.push({ sequence, event: payload.value });
    moved();
  });
}

/** Reads a stream that its server's death will cut off. */
async function read<T>(events: AsyncIterable<T>, take: (event: T) => void): Promise<void> {
  try {
    for await (const event of events) take(event);
  } catch {
    return;
  }
  throw new Error("A stream ended before its server was killed");
}

function taskOf({ sent }: Heard): Task {
  const payload = sent[0]?.payload;
  if (payload?.case !== "task") throw new Error(`A stream began with ${payload?.case}`);
  return payload.value;
}

async function expectKept({ a2a, tasks }: Clients, heard: Heard, onLost: string): Promise<void> {
  const { id } = taskOf(heard);
  const kept: Heard["watched"] = [];
  for await (const { sequence, payload } of tasks.watchTask({ taskId: id, afterSequence: 0n })) {
    if (payload.case === "event") kept.push({ sequence, event: payload.value });
  }

  // Every event a client had received is there, in its place.
  expect(heard.watched.length).toBeGreaterThan(0);
  expect(kept.slice(0, heard.watched.length)).toEqual(heard.watched);
  const [, first] = heard.sent;
  const place = first === undefined ? 0 : kept.findIndex(({ event }) => equals(StreamResponseSchema, event, first));
  expect(kept.slice(place, place + heard.sent.length - 1).map(({ event }) => event)).toEqual(heard.sent.slice(1));

  // Dense: between what is shown lies only what changes nothing that is shown.
  expect(kept[0]?.sequence).toBe(1n);
  for (const [index, { sequence }] of kept.entries()) {
    const before = kept[index - 1]?.sequence ?? sequence - 1n;
    expect(sequence).toBeGreaterThan(before);
    for (let hidden = before + 1n; hidden < sequence; hidden++) {
      const [at, earlier] = await Promise.all(
        [hidden, hidden - 1n].map((place) => tasks.getTaskAt({ taskId: id, sequence: place })),
      );
      expect(at?.task).toEqual(earlier?.task);
    }
  }

  // GetTask is the fold of what was streamed, and the task has ended, honestly.
  const task = await a2a.getTask({ id });
  const last = kept.at(-1)?.sequence ?? 0n;
  expect(await tasks.getTaskAt({ taskId: id, sequence: last })).toMatchObject({
    head: last,
    task: { status: { state: task.status?.state } },
  });
  const folded = folding(kept.map(({ event }) => event));
  expect(task.status).toEqual(folded.status);
  expect(task.artifacts).toEqual(folded.artifacts);
  expect(equals(TaskSchema, (await tasks.getTaskAt({ taskId: id, sequence: last })).task ?? taskOf(heard), task)).toBe(
    true,
  );
  // A turn that hadn't begun was nothing lost: it is run all the same.
  const begun = heard.watched.some(({ event }) => event.payload.case === "artifactUpdate");
  const failed = onLost === "fail" && (begun || task.status?.state === TaskState.FAILED);
  expect(task.status?.state).toBe(failed ? TaskState.FAILED : TaskState.COMPLETED);
  expect(task.status?.message?.parts[0]?.content.value).toBe(
    failed ? "The server failed while the agent worked on this task" : "done",
  );
}

/** What a client makes of the events of a stream, by the words of the contract. */
function folding(events: readonly StreamResponse[]): Pick<Task, "status" | "artifacts"> {
  let status: Task["status"];
  const artifacts: Artifact[] = [];
  for (const { payload } of events) {
    if (payload.case === "task" || payload.case === "statusUpdate") status = payload.value.status;
    if (payload.case !== "artifactUpdate") continue;
    const { artifact, append } = payload.value;
    if (artifact === undefined) throw new Error("An artifact update without an artifact");
    const place = artifacts.findIndex(({ artifactId }) => artifactId === artifact.artifactId);
    const known = artifacts[place];
    if (known === undefined) artifacts.push({ ...artifact });
    else if (append) artifacts[place] = { ...known, parts: [...known.parts, ...artifact.parts] };
    else artifacts[place] = { ...artifact };
  }
  return { status, artifacts };
}
