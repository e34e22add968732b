import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { type Message, MessageSchema, Role, TaskSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { demoProcessor } from "../../src/agent/demo-processor.ts";
import type { TaskContext } from "../../src/agent/message-processor.ts";
import { textOf } from "../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";
import { systemClock } from "../../src/runtime/clock.ts";

function message(text: string, role: Role = Role.USER): Message {
  return create(MessageSchema, {
    messageId: crypto.randomUUID(),
    role,
    parts: [{ content: { case: "text", value: text } }],
  });
}

/** What a turn is given: the message, and the task with what came before it. */
function contextOf(
  text: string,
  before: readonly Message[] = [],
  signal: AbortSignal = new AbortController().signal,
): TaskContext {
  const turn = message(text);
  const unused = () => {
    throw new Error("The demo agent needs none of this");
  };
  return {
    message: turn,
    contextId: "c",
    taskId: "t",
    options: { blocking: true, streaming: false, acceptedOutputModes: [] },
    caller: { tenant: "", owner: "", claims: {}, headers: new Headers() },
    signal,
    attempt: 1,
    clock: systemClock,
    fence: 1n,
    task: async () => create(TaskSchema, { id: "t", contextId: "c", history: [...before, turn] }),
    history: unused,
    step: unused,
    committed: unused,
    subscribeTask: unused,
    getTask: unused,
    cleanTask: unused,
  };
}

const stateNames = new Map<TaskState, string>(Object.entries(TaskState).map(([name, state]) => [state, name]));

/** Events in short: a state with its text, or a chunk with its flags. */
function shortOf(event: ProcessorEvent): string {
  if ("statusUpdate" in event) {
    const { state, message: says } = event.statusUpdate;
    const text = textOf({ parts: says?.parts ?? [] });
    return `${stateNames.get(state)}${text === "" ? "" : ` ${text}`}`;
  }
  const { artifact, append, lastChunk } = event.artifactUpdate;
  return `${append ? "append" : "new"}${lastChunk ? " last" : ""}: ${textOf({ parts: artifact.parts ?? [] })}`;
}

async function run(context: TaskContext): Promise<readonly string[]> {
  const events: string[] = [];
  for await (const event of demoProcessor.processMessage(context)) events.push(shortOf(event));
  return events;
}

describe("a first message", () => {
  it.each([
    ["hello there", ["new last: hello there", "COMPLETED"]],
    ["", ["new last: ", "COMPLETED"]],
    ["streams", ["new last: streams", "COMPLETED"]],
    ["stream 1 5", ["new last: 1 ···", "COMPLETED"]],
    ["stream 3 5", ["new: 1 ···", "append: 2 ···", "append last: 3 ···", "COMPLETED"]],
    ["  STREAM 2   1 ", ["new: 1", "append last: 2", "COMPLETED"]],
    ["count 2 0", [expect.stringMatching(/^new: 1 /), expect.stringMatching(/^append last: 2 /), "COMPLETED"]],
    ["ask how many?", ["INPUT_REQUIRED how many?"]],
    ["auth", ["AUTH_REQUIRED May I?"]],
    ["fail on purpose", ["FAILED on purpose"]],
    ["reject it", ["REJECTED it"]],
  ])('"%s" gives %j', async (text, expected) => {
    expect(await run(contextOf(text))).toEqual(expected);
  });

  it("gives chunks of 40 characters where no size is given", async () => {
    const [first = ""] = await run(contextOf("stream 1"));
    expect(first.replace("new last: ", "")).toHaveLength(40);
  });

  it("goes to the bounds, and not beyond", async () => {
    const [first = ""] = await run(contextOf("stream 1 100000"));
    expect(first).toHaveLength("new last: ".length + 100_000);
    let chunks = 0;
    for await (const event of demoProcessor.processMessage(contextOf("stream 1000000 1")))
      chunks += "artifactUpdate" in event ? 1 : 0;
    expect(chunks).toBe(1_000_000);
  });

  it.each([
    "stream",
    "stream x",
    "stream 0",
    "stream 1000001",
    "stream 1 0",
    "stream 1 100001",
    "stream 1 2 3",
    "stream 1.5",
  ])('"%s" fails and says what is expected', async (text) => {
    expect(await run(contextOf(text))).toEqual([
      "FAILED Expected: stream N [SIZE], SIZE from 1 to 100000; N from 1 to 1000000",
    ]);
  });

  it.each([
    "count",
    "count 1 -1",
    "count 1 3600001",
    "count 1000001 1",
    "count 1 1 1",
  ])('"%s" fails and says what is expected', async (text) => {
    expect(await run(contextOf(text))).toEqual(["FAILED Expected: count N MS, MS up to 3600000; N from 1 to 1000000"]);
  });
});

describe("a count", () => {
  it("stops at once when its turn is aborted", async () => {
    const abort = new AbortController();
    const turn = demoProcessor.processMessage(contextOf("count 10 3600000", [], abort.signal))[Symbol.asyncIterator]();
    const next = turn.next();
    setImmediate(() => abort.abort("canceled"));
    await expect(next).rejects.toThrow("aborted");
    expect(await turn.next()).toEqual({ done: true, value: undefined });
  });

  it("doesn't begin in a turn that is aborted already", async () => {
    await expect(run(contextOf("count 10 0", [], AbortSignal.abort("draining")))).rejects.toThrow("aborted");
  });
});

describe("a message that follows", () => {
  it.each(["ask why", "auth please"])('completes what "%s" began, whatever it says', async (question) => {
    const before = [message(question), message("the question", Role.AGENT)];
    expect(await run(contextOf("fail", before))).toEqual(["new last: fail", "COMPLETED"]);
  });

  it("is a message like any other where nothing was asked", async () => {
    expect(await run(contextOf("fail now", [message("stream 1")]))).toEqual(["FAILED now"]);
  });
});

describe("a bare answer", () => {
  it("is given to a reply, and to nothing else", async () => {
    const answer = await demoProcessor.answerMessage?.(contextOf("reply hello"));
    expect(textOf({ parts: answer?.parts ?? [] })).toBe("hello");
    expect(await demoProcessor.answerMessage?.(contextOf("replying"))).toBeUndefined();
  });
});

describe("the card", () => {
  const { card } = demoProcessor;

  it("has what A2A requires of one, but for the addresses, which the server knows", () => {
    expect(card).toMatchObject({
      name: expect.any(String),
      description: expect.any(String),
      version: expect.any(String),
      capabilities: { streaming: true },
    });
    expect(card?.defaultInputModes).toEqual(["text/plain", "application/json"]);
    expect(card?.defaultOutputModes).toEqual(["text/plain"]);
  });

  it("names every command as a skill", () => {
    expect(card?.skills?.map(({ id }) => id)).toEqual([
      "echo",
      "stream",
      "count",
      "ask",
      "auth",
      "fail",
      "reject",
      "reply",
    ]);
    for (const skill of card?.skills ?? [])
      expect(skill).toMatchObject({
        name: expect.stringMatching(/./),
        description: expect.stringMatching(/./),
        tags: ["demo"],
      });
  });
});
