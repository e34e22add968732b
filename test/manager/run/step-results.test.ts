import { expect, it } from "vitest";
import type { Json } from "../../../src/agent/as-json.ts";
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

const kept: readonly [string, unknown, Json | undefined][] = [
  ["nothing", undefined, undefined],
  ["an object with a member that is undefined", { a: undefined, b: [{ c: undefined }] }, { b: [{}] }],
  ["an object without a prototype", Object.assign(Object.create(null), { a: 1 }), { a: 1 }],
  ["an object with a member __proto__", JSON.parse('{"__proto__":{"a":1}}'), JSON.parse('{"__proto__":{"a":1}}')],
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

const cycle: unknown[] = [];
cycle.push(cycle);

it.each<[string, unknown, string]>([
  ["not a number", Number.NaN, "holds NaN or an infinity"],
  ["an infinity", [Number.POSITIVE_INFINITY], "holds NaN or an infinity"],
  ["a bigint", 1n, "it is bigint"],
  ["a function", () => 1, "it is function"],
  ["a list with a hole", { a: [1, undefined] }, "a[1] is undefined"],
  ["a list with an empty place", new Array(1), "[0] is undefined"],
  ["an object with a Date", { a: [{ when: new Date(0) }] }, "a[0].when is an object of the class Date"],
  ["a Map", new Map(), "it is an object of the class Map"],
  ["an error", new Error("x"), "it is an object of the class Error"],
  ["a list that holds itself", cycle, "nests too deeply, or holds itself"],
])("a step's result that is %s is refused at the step, and nothing of it is kept", async (_, result, why) => {
  let refused: unknown;
  const { manager, faulty } = await setup(
    silent(async ({ step }) => {
      refused = await step("s", async () => result as Json).catch((error: unknown) => error);
    }),
  );
  const task = await sent(manager, "go");
  expect([stateOf(task), kindsOf(await logOf(faulty, task.id)).includes("stepResult")]).toEqual(["COMPLETED", false]);
  expect(refused).toMatchObject({ name: "TaskError", reason: "INVALID_AGENT_RESPONSE" });
  expect(String(refused)).toContain(why);
});
