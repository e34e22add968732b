import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { HealthCheckResponse_ServingStatus as Status } from "../../../gen/health/v1/health_pb.ts";
import type { StreamResponse } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Binding, bindings, type Clients, toldError } from "../bindings.ts";
import { userMessage } from "../calls/call-fixtures.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** SIGTERM, as clients on the other side of the wire see it. */

let folder: string;
let server: ServeProcess;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "a2a-drain-"));
});

afterEach(async ({ task }) => {
  await server.end("SIGKILL");
  if (task.result?.state === "pass") rmSync(folder, { recursive: true, force: true });
});

/** Streams until it is told to stop, then waits for the test to let it go, and has a last word. */
const agent = `
  import { existsSync } from "node:fs";
  import { setTimeout as delay } from "node:timers/promises";
  const parts = (text) => [{ content: { case: "text", value: text } }];
  const chunk = (text, append) => ({ artifactUpdate: { artifact: { artifactId: "a", parts: parts(text) }, append } });
  export default {
    async *processMessage({ signal }) {
      yield chunk("0", false);
      for (let n = 1; !signal.aborted; n++) {
        await delay(5);
        yield chunk(String(n), true);
      }
      while (!existsSync(process.env.GATE)) await delay(5);
      yield chunk("last word", true);
    },
  };
`;

async function start(...args: readonly string[]): Promise<ServeProcess> {
  return startWith(agent, ...args);
}

async function startWith(source: string, ...args: readonly string[]): Promise<ServeProcess> {
  const file = join(folder, "agent.mjs");
  writeFileSync(file, source);
  const storage = ["--storage", `sqlite:${join(folder, "tasks.db")}`];
  return startServer([...storage, "--processor", file, "--drain-turns", "0s", "--cancel-grace", "30s", ...args], {
    GATE: join(folder, "gate"),
  });
}

/** Streams until the test lets it go, and completes, whatever it is told. */
const patientAgent = `
  import { existsSync } from "node:fs";
  import { setTimeout as delay } from "node:timers/promises";
  const parts = (text) => [{ content: { case: "text", value: text } }];
  const chunk = (text, append) => ({ artifactUpdate: { artifact: { artifactId: "a", parts: parts(text) }, append } });
  export default {
    async *processMessage({ signal }) {
      yield chunk("0", false);
      for (let n = 1; !existsSync(process.env.GATE); n++) {
        await delay(5);
        yield chunk(String(n), true);
      }
      yield chunk(signal.aborted ? "was told" : "last word", true);
    },
  };
`;

/** A stream that is read to its end, whatever that is. */
interface Reading<T> {
  readonly seen: T[];
  readonly end: Promise<ReturnType<typeof toldError> | "ended">;
}

function read<T>(events: AsyncIterable<T>): Reading<T> {
  const seen: T[] = [];
  const end = (async () => {
    try {
      for await (const event of events) seen.push(event);
      return "ended" as const;
    } catch (error) {
      return toldError(error);
    }
  })();
  return { seen, end };
}

function textsOf(events: readonly StreamResponse[]): readonly unknown[] {
  return events.flatMap(({ payload }) =>
    payload.case === "artifactUpdate" ? (payload.value.artifact?.parts.map(({ content }) => content.value) ?? []) : [],
  );
}

function taskIdOf(events: readonly StreamResponse[]): string {
  const first = events[0]?.payload;
  return first?.case === "task" ? first.value.id : "";
}

const unavailable = { code: "Unavailable", reason: "UNAVAILABLE", domain: "a2a-task-manager" };
const waitMs = { timeout: 20_000, interval: 10 };

function open({ name, connect }: Binding) {
  const clients: Clients = connect(server.url.origin);
  return {
    name,
    clients,
    blocking: clients.a2a.sendMessage({ message: userMessage("go") }).then(() => "answered" as const, toldError),
    stream: read(clients.a2a.sendStreamingMessage({ message: userMessage("go") })),
    health: read(clients.health.watch({ service: "lf.a2a.v1.A2AService" })),
  };
}

describe("a server that is told to end by SIGTERM", () => {
  it("a draining server reports not ready, refuses new work, and ends open calls and streams with UNAVAILABLE after all that was committed", async () => {
    server = await start();
    const all = bindings.map(open);
    for (const { stream, health } of all) {
      await vi.waitFor(() => expect(textsOf(stream.seen).length).toBeGreaterThan(5), waitMs);
      await vi.waitFor(() => expect(health.seen.map(({ status }) => status)).toEqual([Status.SERVING]), waitMs);
    }
    const watches = all.map(({ clients, stream }) =>
      read(clients.tasks.watchTask({ taskId: taskIdOf(stream.seen), afterSequence: 0n })),
    );

    const exited = server.end("SIGTERM");
    for (const { health } of all)
      await vi.waitFor(
        () => expect(health.seen.map(({ status }) => status)).toEqual([Status.SERVING, Status.NOT_SERVING]),
        waitMs,
      );
    const page = await fetch(new URL("/readyz", server.url));
    expect([page.status, await page.json()]).toEqual([
      503,
      { status: "unavailable", reason: "The server is going down" },
    ]);
    expect((await fetch(new URL("/healthz", server.url))).status).toBe(200);
    for (const { clients } of all) {
      expect((await clients.health.check({})).status).toBe(Status.NOT_SERVING);
      expect(await clients.a2a.sendMessage({ message: userMessage("too late") }).catch(toldError)).toMatchObject(
        unavailable,
      );
    }

    writeFileSync(join(folder, "gate"), "");
    for (const { blocking, stream, health } of all) {
      expect(await blocking).toMatchObject(unavailable);
      expect(await stream.end).toMatchObject(unavailable);
      expect(textsOf(stream.seen).at(-1)).toBe("last word");
      expect(await health.end).toMatchObject(unavailable);
    }
    for (const watch of watches) expect(await watch.end).toMatchObject(unavailable);
    expect(await exited).toBe(0);

    server = await start();
    const clients = bindings[0]?.connect(server.url.origin);
    for (const [index, { stream }] of all.entries()) {
      const seen =
        watches[index]?.seen.flatMap(({ payload }) => (payload.case === "event" ? [payload.value] : [])) ?? [];
      const kept = read(
        clients?.tasks.watchTask({ taskId: taskIdOf(stream.seen), afterSequence: 0n }) ?? emptyStream(),
      );
      expect(await kept.end).toBe("ended");
      const events = kept.seen.flatMap(({ payload }) => (payload.case === "event" ? [payload.value] : []));
      // What comes behind is what the second server made of the turn.
      expect(events.slice(0, seen.length)).toEqual(seen);
      expect(textsOf(stream.seen)).toEqual(textsOf(events));
    }
  });

  it("running turns may end in the time for turns, with their calls and streams; what is new is refused", async () => {
    server = await startWith(patientAgent, "--drain-turns", "10m");
    const all = bindings.map(open);
    for (const { stream } of all)
      await vi.waitFor(() => expect(textsOf(stream.seen).length).toBeGreaterThan(1), waitMs);
    const exited = server.end("SIGTERM");
    for (const { clients, stream, health } of all) {
      await vi.waitFor(
        () => expect(health.seen.map(({ status }) => status)).toEqual([Status.SERVING, Status.NOT_SERVING]),
        waitMs,
      );
      expect(await clients.a2a.sendMessage({ message: userMessage("too late") }).catch(toldError)).toMatchObject(
        unavailable,
      );
      const seen = stream.seen.length;
      await vi.waitFor(() => expect(stream.seen.length).toBeGreaterThan(seen + 5), waitMs);
    }
    writeFileSync(join(folder, "gate"), "");
    for (const { blocking, stream } of all) {
      expect(await blocking).toBe("answered");
      expect(await stream.end).toBe("ended");
      expect(textsOf(stream.seen).at(-1)).toBe("last word");
    }
    expect(await exited).toBe(0);
  });

  it("calls that are still open when the drain time is over are answered, and the server ends", async () => {
    server = await start("--drain-timeout", "300ms");
    const all = bindings.map(open);
    for (const { stream } of all)
      await vi.waitFor(() => expect(textsOf(stream.seen).length).toBeGreaterThan(1), waitMs);
    const exited = server.end("SIGTERM");
    // The agent holds its turns meanwhile: nothing ends by itself.
    for (const { blocking, stream, health } of all) {
      expect(await blocking).toMatchObject(unavailable);
      expect(await stream.end).toMatchObject(unavailable);
      expect(await health.end).toMatchObject(unavailable);
      expect(textsOf(stream.seen)).not.toContain("last word");
    }
    writeFileSync(join(folder, "gate"), "");
    expect(await exited).toBe(0);
  });
});

async function* emptyStream(): AsyncGenerator<never> {}
