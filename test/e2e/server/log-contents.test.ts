import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { Role } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, textOf, working } from "../../../src/agent/processor-events.ts";
import { createServerLog } from "../../../src/cli/server-log.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { StorageError } from "../../../src/storage/storage-error.ts";
import { bindings, type Clients } from "../bindings.ts";
import { userMessage } from "../calls/call-fixtures.ts";

/** Everything that could put what was said into the log, at its most talkative, and none of it there. */

const canary = "canary-7f3a9c";

/** An agent whose errors quote what it was told, in every way an agent can fail. */
const leaky: MessageProcessor = {
  async answerMessage({ message }) {
    if (textOf(message).startsWith("answer-throws")) throw new Error(`cannot answer ${textOf(message)}`);
    return demoProcessor.answerMessage?.({ message } as never);
  },
  async *processMessage(context) {
    const text = textOf(context.message);
    const [command] = text.split(" ");
    const cause = new AggregateError([new Error(text)], text, { cause: new Error(text) });
    switch (command) {
      case "throws":
        throw Object.assign(new Error(`cannot parse\n    at "${text}"`, { cause }), { code: text, document: { text } });
      case "throws-late":
        yield working(text);
        throw new TaskError("INVALID_REQUEST", text, { cause });
      case "throws-text":
        throw text;
      case "yields-nonsense":
        yield { statusUpdate: { state: 4711, metadata: { text } } } as never;
        return;
      case "yields-a-bad-artifact":
        yield artifact({ artifactId: text, parts: [] });
        return;
      case "deaf":
        yield artifact({ artifactId: text, parts: [{ content: { case: "text", value: text } }] });
        await new Promise((resolve) => context.signal.addEventListener("abort", resolve, { once: true }));
        throw new Error(text);
      default:
        yield* demoProcessor.processMessage(context);
    }
  },
};

let log = "";
/** What the storage answers every read and write with. */
let broken: Error | undefined;
let server: Server;

/** A storage whose errors quote what it was given, as drivers' do. */
function quoting(storage: Storage): Storage {
  const methods: ReadonlySet<unknown> = new Set(["getTask", "readTask", "listTasks", "appendTask"]);
  return new Proxy(storage, {
    get(target, name) {
      const value: unknown = Reflect.get(target, name, target);
      if (typeof value !== "function") return value;
      return (...args: unknown[]) =>
        broken !== undefined && methods.has(name) ? Promise.reject(broken) : value.apply(target, args);
    },
  });
}

function logTo(write: (line: string) => void, errorTexts = false) {
  return createServerLog({ level: "trace", errorTexts }, { write });
}

beforeAll(async () => {
  const logger = logTo((line) => {
    log += line;
  });
  server = await createServer({
    processor: leaky,
    storage: quoting(createMemoryStorage()),
    listener: { port: 0 },
    logger,
    manager: { cancelGraceMs: 50 },
  });
  await server.listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

function telling(command: string) {
  const metadata = { note: canary, deep: [{ canary }] };
  const parts = [
    { content: { case: "text" as const, value: `${command} ${canary}` }, metadata },
    {
      content: { case: "data" as const, value: { kind: { case: "stringValue" as const, value: canary } } },
      mediaType: "application/json",
    },
    { content: { case: "raw" as const, value: Buffer.from(canary) }, mediaType: "text/plain", filename: canary },
    { content: { case: "url" as const, value: `https://example.com/${canary}` }, mediaType: "text/plain" },
  ];
  return { message: userMessage("", { parts, metadata }), metadata };
}

const commands = [
  ...["echo", "stream 3", "ask", "auth", "fail", "reject", "reply", "throws", "throws-late", "throws-text"],
  ...["yields-nonsense", "yields-a-bad-artifact", "answer-throws"],
];

async function quietly(call: () => Promise<unknown> | AsyncIterable<unknown>): Promise<void> {
  try {
    const called = call();
    if (Symbol.asyncIterator in called) for await (const _ of called);
    else await called;
  } catch {
    // Told to the client; what matters here is what the log says.
  }
}

async function canceled({ a2a }: Clients): Promise<void> {
  const { payload } = await a2a.sendMessage({ ...telling("deaf"), configuration: { returnImmediately: true } });
  const id = payload.case === "task" ? payload.value.id : "";
  await a2a.cancelTask({ id, metadata: { canary } });
}

async function hungUp({ a2a }: Clients): Promise<void> {
  const calling = new AbortController();
  const events = a2a.sendStreamingMessage(telling("count 1000 60000"), { signal: calling.signal });
  for await (const { payload } of events) {
    if (payload.case === "statusUpdate") break;
  }
  // Connect over HTTP/2 keeps a stream open that is only not read any more.
  calling.abort();
  await quietly(() => a2a.sendMessage(telling("count 1000 60000"), { signal: AbortSignal.timeout(30) }));
}

function repeated({ a2a }: Clients) {
  const messageId = crypto.randomUUID();
  return Promise.all(
    ["one", "two"].map((text) => a2a.sendMessage({ message: userMessage(`${text} ${canary}`, { messageId }) })),
  );
}

function hidden(text: string): void {
  for (const form of [
    canary,
    Buffer.from(canary).toString("base64").slice(0, 16),
    Buffer.from(canary).toString("hex"),
    [...Buffer.from(canary)].join(","),
  ]) {
    expect(text).not.toContain(form);
  }
}

describe.each(bindings)("over $name", ({ connect }) => {
  it("no call and no failure of the agent puts what was said into the log", async () => {
    const clients = connect(server.url.origin);
    const { a2a, tasks } = clients;
    for (const command of commands) {
      await quietly(() => a2a.sendMessage(telling(command)));
      // The stream of a task that waits for authorization stays open.
      await quietly(() =>
        a2a.sendStreamingMessage(telling(command), command === "auth" ? { signal: AbortSignal.timeout(200) } : {}),
      );
    }
    await canceled(clients);
    await hungUp(clients);
    await repeated(clients);
    for (const bad of [{ messageId: "" }, { role: Role.UNSPECIFIED }, { parts: [] }, { taskId: `${canary}-task` }]) {
      await quietly(() => a2a.sendMessage({ message: userMessage(canary, bad) }));
    }
    await quietly(() => a2a.sendMessage({ message: userMessage(canary.repeat(500_000)) }));
    await quietly(() => tasks.watchTask({ taskId: canary, afterSequence: 3n }));
    for (const wanted of [
      "A turn failed",
      "The agent failed to answer a message",
      "The agent yielded an event that cannot be appended",
      "was used again with other content",
    ]) {
      expect(log).toContain(wanted);
    }
    hidden(log);
  });

  it("no failure of the storage puts what was said into the log", async () => {
    const { a2a } = connect(server.url.origin);
    const cause = Object.assign(new Error(canary), { keyValue: { text: canary } });
    const errors = [
      ...(["invalid", "corrupt", "missing"] as const).map(
        (code) => new StorageError(code, code === "invalid" ? canary : "It is so", { cause }),
      ),
      Object.assign(new TypeError(`cannot encode ${canary}`, { cause }), { document: { text: canary } }),
    ];
    for (const error of errors) {
      broken = error;
      try {
        await quietly(() => a2a.sendMessage(telling("echo"), { signal: AbortSignal.timeout(500) }));
        await quietly(() => a2a.listTasks({ contextId: canary }));
        await quietly(() => a2a.getTask({ id: "nothing" }));
        await quietly(() => a2a.subscribeToTask({ id: "nothing" }));
      } finally {
        broken = undefined;
      }
    }
    expect(log).toContain("A call failed unexpectedly");
    hidden(log);
  });
});

describe("requests that can't be read", () => {
  it.each([
    ["malformed JSON", `{"message": "${canary}`],
    ["a field that doesn't exist", `{"${canary}": "${canary}"}`],
    ["a value of another type", `{"message": {"role": "${canary}", "parts": [{"text": {"x": "${canary}"}}]}}`],
  ])("requests that can't be read leave none of their content in the log: %s", async (_, body) => {
    const response = await fetch(new URL(`/lf.a2a.v1.A2AService/SendMessage?${canary}`, server.url), {
      method: "POST",
      headers: { "content-type": "application/json", "x-note": canary },
      body,
    });
    expect(response.status).toBe(400);
    hidden(log);
  });
});

describe("an error in the log", () => {
  function lineOf(error: unknown, errorTexts = false): Record<string, unknown> {
    const lines: string[] = [];
    logTo((line) => lines.push(line), errorTexts).error({ err: error }, "It failed");
    return JSON.parse(lines.join());
  }

  it("an error is logged with its class, code and stack, without its text and its other properties", () => {
    const error = Object.assign(
      new TypeError(`cannot read ${canary}`, {
        cause: new StorageError("invalid", canary, { cause: new Error(canary) }),
      }),
      {
        code: "ERR_X",
        document: { text: canary },
      },
    );
    const line = lineOf(error);
    expect(line).toMatchObject({
      msg: "It failed",
      err: {
        type: "TypeError",
        code: "ERR_X",
        stack: expect.stringMatching(/^at lineOf|^at /),
        cause: { type: "StorageError", code: "invalid", cause: { type: "Error" } },
      },
    });
    hidden(JSON.stringify(line));
  });

  it.each([
    ["the storage's", new StorageError("unavailable", "MongoDB can't be reached"), "MongoDB can't be reached"],
    [
      "the operating system's",
      Object.assign(new Error("connect ECONNREFUSED"), { errno: -111, syscall: "connect", code: "ECONNREFUSED" }),
      "connect ECONNREFUSED",
    ],
  ])("the log shows %s text, which quotes no user data", (_, error, message) => {
    expect(lineOf(error)).toMatchObject({ err: { message } });
  });

  it.each([
    ["an error whose text was changed afterwards", () => Object.assign(new Error(canary), { message: "other" })],
    ["an error whose text has lines that look like places", () => new Error(`x\n    at ${canary}`)],
    ["a code that is a sentence", () => Object.assign(new Error("x"), { code: `it is ${canary}` })],
    ["a text that was thrown", () => canary],
    ["an object that was thrown", () => ({ canary })],
  ])("the log hides %s", (_, make) => {
    hidden(JSON.stringify(lineOf(make())));
  });

  it("the log shows all error texts where that is set", () => {
    expect(lineOf(new Error("outer", { cause: new Error("inner") }), true)).toMatchObject({
      err: { message: "outer", cause: { message: "inner" } },
    });
    expect(lineOf("thrown", true)).toMatchObject({ err: { message: "thrown" } });
  });
});
