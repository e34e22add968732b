import { create } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ListTasksRequestSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { crashed } from "../crash.ts";
import { begun, brief, collected, ScriptedAgent, setup, stateOf } from "../fixtures.ts";

/** A task of a dead server whose takeover is in the log, while the new server waits for the answer to that append. */
async function takenOverWithoutAnswer() {
  let id = "";
  const { storage } = await crashed(async ({ manager }, agent) => {
    id = (await begun(manager, "x")).id;
    await agent.turn();
  });
  const faulty = new FaultyStorage(storage);
  faulty.fail({ methods: ["appendTask"], fault: "answer-held" });
  const all = await setup(new ScriptedAgent(), { faulty });
  await settle(5);
  expect(faulty.held).toBe(1);
  return { ...all, id };
}

const reads: readonly [string, (manager: TaskManager, id: string) => Promise<bigint>][] = [
  [
    "a stream from the log",
    async (manager, id) => {
      const watch = manager.watchTask(id, 0n);
      expect((await collected(watch)).at(-1)).toMatch(/^status:FAILED/);
      return watch.cursor;
    },
  ],
  ["GetTaskAt", async (manager, id) => (await manager.getTaskAt(id, 1n)).head],
  ["ListTasks", async (manager) => (await manager.listTasks(create(ListTasksRequestSchema))).tasks[0]?.sequence ?? 0n],
];

it.each(reads)("what %s has shown is shown by every later call, before the append is answered", async (_, read) => {
  const { manager, id, faulty } = await takenOverWithoutAnswer();
  const shown = await read(manager, id);
  const task = await manager.getTask(id);
  expect([stateOf(task), task.sequence]).toEqual(["FAILED", shown]);
  expect(await collected(manager.subscribeToTask(id, shown))).toEqual([]);
  for await (const event of manager.watchTask(id)) expect(brief(event)).toBe("task:FAILED");
  faulty.heal();
  faulty.release();
  await settle(5);
  expect((await manager.getTask(id)).sequence).toBe(shown);
});
