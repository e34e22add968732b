import { join } from "node:path";
import { stripVTControlCharacters } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type InstalledPackage, installPackage } from "./installed-package.ts";

/** The kit as agents' authors use it, from the packed package, under each test runner. */

const root = join(import.meta.dirname, "../..");

let installed: InstalledPackage;
beforeAll(() => {
  installed = installPackage(["vitest"]);
});
afterAll(() => installed[Symbol.dispose]());

const body = `
import { equal, deepEqual } from "node:assert/strict";
import { artifact, artifactFrom, completed, text, textOf } from "a2a-task-manager";
import { cancelAfter, crashAfter, ManualClock, runTurn, timeoutAfter } from "a2a-task-manager/testing";

const agent = {
  onLost: "resume",
  async *processMessage({ message, attempt, signal }) {
    yield artifact("Echo", text(textOf(message)));
    signal.throwIfAborted();
    async function* words() {
      yield "one ";
      yield "two";
    }
    yield* artifactFrom(words(), { name: "Words" });
    yield completed("attempt " + attempt);
  },
};

test("a turn, a crash, a cancel, a timeout, a follow-up and a manual clock", async () => {
  const turn = await runTurn(agent, "hello", crashAfter(1));
  deepEqual(turn.shown.at(-1), "COMPLETED: attempt 2");
  deepEqual(turn.task.artifacts.map(textOf), ["hello", "one two"]);
  equal((await turn.followUp("again")).state, "COMPLETED");
  equal((await runTurn(agent, "hello", cancelAfter(1))).state, "CANCELED");
  equal((await runTurn(agent, "hello", timeoutAfter(1))).state, "FAILED");
  const clock = new ManualClock();
  const still = { ...agent, async *processMessage({ clock }) { yield completed(String(clock.monotonic())); } };
  equal((await runTurn(still, "go", { clock })).shown.at(-1), "COMPLETED: 0");
});
`;

test("the kit works under node:test", () => {
  const file = installed.write("agent.node.mjs", `import test from "node:test";${body}`);
  const { status, stdout } = installed.node("--test", "--test-reporter=tap", file);
  expect(stdout).toContain("# pass 1");
  expect(status).toBe(0);
});

test("the kit works under vitest", () => {
  installed.write("agent.test.mjs", `import { test } from "vitest";${body}`);
  const vitest = join(root, "node_modules/vitest/vitest.mjs");
  const { status, stdout } = installed.node(vitest, "run", "--root", ".");
  expect(stripVTControlCharacters(stdout)).toMatch(/Tests +1 passed \(1\)/);
  expect(status).toBe(0);
});
