import { expect, it } from "vitest";
import type { Json } from "../../../src/agent/message-processor.ts";
import { completed } from "../../../src/agent/processor-events.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { agent, begun, kindsOf, logOf, sent, setup, silent, stateOf } from "../fixtures.ts";

it("a step after the turn's last word is the agent's fault, and the task has ended as it said", async () => {
  const faults: unknown[] = [];
  const { manager } = await setup(
    agent(async function* ({ step }) {
      yield completed("done");
      await step("late", async () => 1).catch((error: unknown) => faults.push(error));
    }),
  );
  expect(stateOf(await sent(manager, "go"))).toBe("COMPLETED");
  await settle();
  expect(faults).toMatchObject([{ name: "TaskError", reason: "INVALID_AGENT_RESPONSE" }]);
});

const kept: readonly [string, unknown, Json][] = [
  ["null", null, null],
  ["a boolean", false, false],
  ["an empty text", "", ""],
  ["zero", 0, 0],
  ["a list in a list", [[1], []], [[1], []]],
  ["an object", { a: { b: null }, __proto__x: 1 }, { a: { b: null }, __proto__x: 1 }],
];

it.each(
  kept,
)("a step's result that is %s is given back as it is, now and after the server was killed", async (_, result, expected) => {
  const storage = createMemoryStorage();
  const results: unknown[] = [];
  let runs = 0;
  const never = Promise.withResolvers<never>();
  const first = silent(
    async ({ step }) => {
      results.push(
        await step("s", async () => {
          runs++;
          return result as Json;
        }),
      );
      await (results.length === 1 ? never.promise : undefined);
    },
    { onLost: "resume" },
  );
  const dead = await setup(first, { faulty: new FaultyStorage(storage) });
  const { id } = await begun(dead.manager, "go");
  await settle(5);
  const next = await setup(first, { faulty: new FaultyStorage(storage) });
  await settle(5);
  expect(stateOf((await next.manager.getTask(id)).task)).toBe("COMPLETED");
  expect([results, runs]).toEqual([[expected, expected], 1]);
});

it.each<[string, unknown]>([
  ["nothing", undefined],
  ["not a number", Number.NaN],
  ["an infinity", [Number.POSITIVE_INFINITY]],
  ["a bigint", 1n],
  ["a function", () => 1],
  ["an object with a hole", { a: undefined }],
])("a step's result that is %s is refused at the step, and nothing of it is kept", async (_, result) => {
  let refused: unknown;
  const { manager, faulty } = await setup(
    silent(async ({ step }) => {
      refused = await step("s", async () => result as Json).catch((error: unknown) => error);
    }),
  );
  const task = await sent(manager, "go");
  expect([stateOf(task), kindsOf(await logOf(faulty, task.id)).includes("stepResult")]).toEqual(["COMPLETED", false]);
  expect(refused).toMatchObject({ name: "TaskError", reason: "INVALID_AGENT_RESPONSE" });
});
