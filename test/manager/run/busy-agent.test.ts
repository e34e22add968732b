import { expect, it } from "vitest";
import { working } from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { agent, begun, sent, setup, silent, stateOf, statusText } from "../fixtures.ts";

/** Never waits for anything itself, and says nothing new. */
const busy = agent(async function* ({ signal }) {
  while (!signal.aborted) yield working();
});

it("an agent that yields without end lets others work, and its time limit end it", async () => {
  const { manager, clock } = await setup(busy, { options: { turnTimeoutMs: 1_000 } });
  const { id } = await begun(manager, "go");
  expect(stateOf((await manager.getTask(id)).task)).toMatch(/SUBMITTED|WORKING/);
  await clock.advance(1_000);
  await settle(5);
  const { task } = await manager.getTask(id);
  expect([stateOf(task), statusText(task)]).toEqual(["FAILED", "The agent was stopped: it took longer than 1 s"]);
});

it("and can be canceled", async () => {
  const { manager, clock } = await setup(busy);
  const { id } = await begun(manager, "go");
  expect(stateOf(await clock.advanceUntil(manager.cancelTask(id)))).toBe("CANCELED");
});

it("an agent with nothing to say costs the others nothing", async () => {
  const { manager } = await setup(silent(async () => {}));
  const tasks = await Promise.all(Array.from({ length: 50 }, () => sent(manager, "go")));
  expect(new Set(tasks.map(stateOf))).toEqual(new Set(["COMPLETED"]));
});
