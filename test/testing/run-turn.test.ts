import { describe, expect, it } from "vitest";
import type { MessageProcessor, TaskContext } from "../../src/agent/message-processor.ts";
import { text } from "../../src/agent/parts.ts";
import { artifact, completed, inputRequired, textOf, working } from "../../src/agent/processor-events.ts";
import { sleep } from "../../src/runtime/clock.ts";
import { cancelAfter, crashAfter, ManualClock, runTurn, timeoutAfter } from "../../src/testing/index.ts";
import { agent } from "../manager/fixtures.ts";

const counter = (onLost: "fail" | "resume" = "fail", runs: unknown[] = []): MessageProcessor =>
  agent(
    async function* ({ attempt, step }: TaskContext) {
      const run = await step("once", async () => runs.push(attempt));
      yield working(`attempt ${attempt}, step ${run}`);
      yield artifact("Count", text(`by ${attempt}`));
      yield completed("done");
    },
    { onLost },
  );

describe("a turn", () => {
  it("gives its events, in full and in brief, its task and its state", async () => {
    const turn = await runTurn(counter(), "hello");
    expect(turn.shown).toEqual(["WORKING", "WORKING: attempt 1, step 1", "artifact Count: by 1", "COMPLETED: done"]);
    expect(turn.events.map(({ payload }) => payload.case)).toEqual([
      "statusUpdate",
      "statusUpdate",
      "artifactUpdate",
      "statusUpdate",
    ]);
    expect([turn.state, turn.task?.artifacts.length, turn.answer, turn.error]).toEqual([
      "COMPLETED",
      1,
      undefined,
      undefined,
    ]);
  });

  it("shows its author what the processor threw, which clients never see", async () => {
    const failing = agent(async function* () {
      yield working("trying");
      throw new Error("secret");
    });
    const turn = await runTurn(failing, { parts: [{ data: { a: 1 } }], metadata: { b: 2 } });
    expect([turn.shown.at(-1), turn.error]).toEqual(["FAILED: The agent failed", new Error("secret")]);
  });

  it("refuses what the contract refuses at the yield, and goes on", async () => {
    const sloppy = agent(async function* () {
      try {
        yield artifact({ parts: [] });
      } catch {
        yield completed("refused");
      }
    });
    expect((await runTurn(sloppy, "go")).shown).toEqual(["WORKING", "COMPLETED: refused"]);
  });
});

describe("a crash", () => {
  it("runs the turn of an agent that resumes again, with its steps, and shows what readers see", async () => {
    const runs: unknown[] = [];
    const turn = await runTurn(counter("resume", runs), "hello", crashAfter(2));
    expect(turn.shown).toEqual([
      "WORKING",
      "WORKING: attempt 1, step 1",
      "artifact Count: by 1",
      "WORKING: attempt 2, step 1",
      "artifact Count: by 2",
      "COMPLETED: done",
    ]);
    expect([runs, turn.task?.artifacts.map(textOf)]).toEqual([[1], ["by 2"]]);
  });

  it("before the first event, and at the last, is one too", async () => {
    expect((await runTurn(counter("resume"), "hello", crashAfter(0))).shown[1]).toBe("WORKING: attempt 2, step 1");
    expect((await runTurn(counter("resume"), "hello", crashAfter(3))).state).toBe("COMPLETED");
  });

  it("fails the task of an agent that doesn't resume", async () => {
    expect((await runTurn(counter(), "hello", crashAfter(1))).shown.at(-1)).toMatch(/^FAILED: The server failed/);
  });
});

it("a cancel or a timeout aborts the signal before the agent goes on", async () => {
  const told: unknown[] = [];
  const asked = agent(async function* ({ signal }) {
    yield working("one");
    told.push(signal.reason);
    yield working("last words");
  });
  expect((await runTurn(asked, "go", cancelAfter(1))).shown.slice(-2)).toEqual(["WORKING: last words", "CANCELED"]);
  expect((await runTurn(asked, "go", timeoutAfter(1))).state).toBe("FAILED");
  expect(told).toEqual(["canceled", "timed-out"]);
});

it("a turn that is over before something was to happen to it is an error that says so", async () => {
  await expect(runTurn(counter(), "hello", cancelAfter(9))).rejects.toThrow(
    "The turn was over after 3 events, before cancelAfter(9)",
  );
});

it("follow-ups go to an open task, then to its conversation, with events of their own and with acts", async () => {
  const asks = agent(
    async function* ({ message, history }) {
      const said = textOf(message);
      yield said === "two" ? completed(`after ${(await history()).length}`) : inputRequired(`${said}?`);
    },
    { onLost: "resume" },
  );
  const first = await runTurn(asks, "one");
  const second = await first.followUp("two", crashAfter(0));
  expect(second.shown).toEqual(["WORKING", "COMPLETED: after 3"]);
  expect(second.task?.id).toBe(first.task?.id);
  const third = await second.followUp("three");
  expect(third.shown).toEqual(["WORKING", "INPUT_REQUIRED: three?"]);
  expect([third.task?.contextId, third.task?.id === second.task?.id]).toEqual([first.task?.contextId, false]);
});

it("time stands still on a manual clock until the test moves it", async () => {
  const clock = new ManualClock();
  const slow = agent(async function* ({ clock }) {
    await sleep(clock, 60_000);
    yield completed(`at ${clock.monotonic()}`);
  });
  expect((await clock.advanceUntil(runTurn(slow, "go", { clock }))).shown).toEqual(["WORKING", "COMPLETED: at 60000"]);
});

it("an agent that resumes, killed after its artifact, shows it twice, and the task has it once", async () => {
  const upper = agent(
    async function* ({ message }) {
      yield artifact("Answer", text(textOf(message).toUpperCase()));
      yield completed();
    },
    { onLost: "resume" },
  );
  const turn = await runTurn(upper, "hello", crashAfter(1));
  expect(turn.shown).toEqual(["WORKING", "artifact Answer: HELLO", "artifact Answer: HELLO", "COMPLETED"]);
  expect(turn.task?.artifacts.map(textOf)).toEqual(["HELLO"]);
});
