import { describe, expect, it } from "vitest";
import { demoProcessor } from "../../src/agent/demo-processor.ts";
import { textOf } from "../../src/agent/processor-events.ts";
import { cancelAfter, crashAfter, ManualClock, runTurn, timeoutAfter } from "../../src/testing/index.ts";

const shown = async (text: string) => (await runTurn(demoProcessor, text)).shown;

describe("a first message", () => {
  it.each([
    ["hello there", ["artifact Echo: hello there", "COMPLETED"]],
    ["", ["artifact Echo: ", "COMPLETED"]],
    ["streams", ["artifact Echo: streams", "COMPLETED"]],
    ["stream 1 5", ["artifact chunks: 1 ···", "COMPLETED"]],
    ["stream 3 5", ["artifact chunks: 1 ···", "artifact chunks + 2 ···", "artifact chunks + 3 ···", "COMPLETED"]],
    ["  STREAM 2   1 ", ["artifact chunks: 1", "artifact chunks + 2", "COMPLETED"]],
    ["count 2 0", [expect.stringMatching(/: 1 ·/), expect.stringMatching(/ \+ 2 ·/), "COMPLETED"]],
    ["ask how many?", ["INPUT_REQUIRED: how many?"]],
    ["auth", ["AUTH_REQUIRED: May I?"]],
    ["fail on purpose", ["FAILED: on purpose"]],
    ["reject it", ["REJECTED: it"]],
  ])('"%s" gives %j', async (text, expected) => {
    expect(await shown(text)).toEqual(["WORKING", ...expected]);
  });

  it("marks the last chunk, and no other", async () => {
    const { events } = await runTurn(demoProcessor, "stream 3 5");
    const chunks = events.flatMap(({ payload }) =>
      payload.case === "artifactUpdate" ? [payload.value.lastChunk] : [],
    );
    expect(chunks).toEqual([false, false, true]);
  });

  it.each([
    ["of 40 characters where no size is given", "stream 1", 40],
    ["of the largest size", "stream 1 100000", 100_000],
  ])("gives chunks %s", async (_, text, size) => {
    const { task } = await runTurn(demoProcessor, text);
    expect(task?.artifacts.map((one) => textOf(one).length)).toEqual([size]);
  });

  it("streams up to a million chunks", async () => {
    const cut = { ...cancelAfter(1), options: { cancelGraceMs: 0 } };
    expect((await runTurn(demoProcessor, "stream 1000000 1", cut)).state).toBe("CANCELED");
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
    const expected = "FAILED: Expected: stream N [SIZE], SIZE from 1 to 100000; N from 1 to 1000000";
    expect(await shown(text)).toEqual(["WORKING", expected]);
  });

  it.each([
    "count",
    "count 1 -1",
    "count 1 3600001",
    "count 1000001 1",
    "count 1 1 1",
  ])('"%s" fails and says what is expected', async (text) => {
    const expected = "FAILED: Expected: count N MS, MS up to 3600000; N from 1 to 1000000";
    expect(await shown(text)).toEqual(["WORKING", expected]);
  });
});

describe("a count", () => {
  it("sends a chunk every so many milliseconds", async () => {
    const clock = new ManualClock();
    const turn = runTurn(demoProcessor, "count 3 60000", { clock });
    const before = clock.monotonic();
    expect((await clock.advanceUntil(turn)).shown).toHaveLength(5);
    expect(clock.monotonic() - before).toBe(180_000);
  });

  it("stops at once when its task is canceled, and when its time is over", async () => {
    const [canceled, late] = await Promise.all([
      runTurn(demoProcessor, "count 10 3600000", cancelAfter(0)),
      runTurn(demoProcessor, "count 10 3600000", timeoutAfter(0)),
    ]);
    expect(canceled.shown).toEqual(["WORKING", "CANCELED"]);
    expect(late.shown).toEqual(["WORKING", "FAILED: The agent was stopped: it yielded nothing for 600 s"]);
  });

  it("fails when its server dies", async () => {
    const { shown } = await runTurn(demoProcessor, "stream 3 1", crashAfter(2));
    expect(shown).toEqual([
      "WORKING",
      "artifact chunks: 1",
      "artifact chunks + 2",
      "FAILED: The server failed while the agent worked on this task",
    ]);
  });
});

describe("a message that follows", () => {
  it.each(["ask why", "auth please"])('completes what "%s" began, whatever it says', async (question) => {
    const { shown } = await (await runTurn(demoProcessor, question)).followUp("fail");
    expect(shown).toEqual(["WORKING", "artifact Echo: fail", "COMPLETED"]);
  });

  it("is a message like any other where nothing was asked", async () => {
    const { shown } = await (await runTurn(demoProcessor, "stream 1")).followUp("fail now");
    expect(shown).toEqual(["WORKING", "FAILED: now"]);
  });
});

describe("a bare answer", () => {
  it("is given to a reply, and to nothing else", async () => {
    const { answer, task } = await runTurn(demoProcessor, "reply hello");
    expect([answer && textOf(answer), task]).toEqual(["hello", undefined]);
    expect(await shown("replying")).toContain("artifact Echo: replying");
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
