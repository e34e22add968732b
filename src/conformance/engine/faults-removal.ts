import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage } from "../../storage/storage.ts";
import type { FaultSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";
import { atEveryCommand, type FaultRun, type Once, usualKinds } from "./fault-run.ts";

const { scope } = given;
const hourMs = 3_600_000;

export const removalFaultCases: readonly FaultSpec[] = [
  {
    name: "a task is deleted whole or not at all, its claim with it, whatever command fails",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          await fillAll(run.storage, { task: "context", kept: "context" });
          const storage = await removed(run, (one) => one.deleteTask(given.taskKey("task")), ["task"]);
          await assertAnew(storage, "task", "context");
          assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")).toSorted(), [
            "kept-1",
            "kept-2",
            "task-1",
            "task-2",
          ]);
        });
      }
    },
  },
  {
    name: "a conversation is deleted whole or not at all, the claims of its tasks with it, whatever command fails",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          await fillAll(run.storage, { one: "context", two: "context", kept: "other" });
          const storage = await removed(run, (one) => one.deleteConversation(scope, "context"), ["one", "two"]);
          assert.equal(await storage.getConversation(scope, "context"), undefined);
          await assertAnew(storage, "one", "context");
          assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["one-1", "one-2"]);
        });
      }
    },
  },
  {
    name: "an interrupted cleanup has removed each conversation whole or not at all, and the next one removes the rest",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, cleanUp);
      }
    },
  },
  {
    name: "a snapshot replaces the one before whole or not at all, whatever command fails",
    async run(open) {
      const small = given.fillerEntry(100);
      const large = given.fillerEntry(9_000_000);
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          const key = given.taskKey("task");
          await given.commit(run.storage, key, given.nothing, {
            entries: [given.textEntry("one"), given.textEntry("two")],
          });
          await run.storage.storeSnapshot(key, { sequence: 1n, bytes: small });
          run.arm();
          const { error } = await run.once((storage) => storage.storeSnapshot(key, { sequence: 2n, bytes: large }));
          const storage = await run.end();
          const { snapshot } = await given.taskOf(storage, key, { snapshot: true });
          given.assertBytes(snapshot?.bytes, snapshot?.sequence === 1n ? small : large);
          assert.ok(snapshot?.sequence === 2n || error !== undefined, "An acknowledged snapshot isn't there");
          await storage.storeSnapshot(key, { sequence: 2n, bytes: large });
          given.assertBytes((await given.taskOf(storage, key, { snapshot: true })).snapshot?.bytes, large);
        });
      }
    },
  },
];

/** Tasks that have ended, each in the conversation given for it. They are made at once, which saves waiting. */
async function fillAll(storage: Storage, contextIds: Readonly<Record<string, string>>): Promise<void> {
  await Promise.all(Object.entries(contextIds).map(([taskId, contextId]) => fill(storage, taskId, contextId)));
}

/** A task that has ended, with a log of several records, a claim, messages, a snapshot, a command and a config. */
async function fill(storage: Storage, taskId: string, contextId: string): Promise<void> {
  const key = given.taskKey(taskId);
  const claim = given.claimOf(`${taskId}-1`, taskId);
  let position = await given.say(storage, key, given.nothing, `${taskId}-1`, 1, {
    contextId,
    claim,
    summary: given.fillerEntry(20_000),
  });
  position = await given.commit(storage, key, position, { entries: [given.fillerEntry(60_000)] });
  position = await given.commit(storage, key, position, { entries: [given.fillerEntry(200_000)] });
  await storage.storeSnapshot(key, { sequence: 2n, bytes: given.fillerEntry(1000) });
  await storage.sendCommand(key, { id: "request", bytes: given.fillerEntry(20_000) });
  await storage.storePushNotification(key, given.configOf("config"));
  await given.say(storage, key, position, `${taskId}-2`, 2, { contextId, state: TaskState.COMPLETED });
}

/** Everything that can be found of a task, including its claim. */
async function imageOf(storage: Storage, taskId: string): Promise<unknown> {
  const key = given.taskKey(taskId);
  const [task, exists, entries, messages, configs, claim] = await Promise.all([
    storage.getTask(key, { snapshot: true }),
    storage.taskExists(key),
    given.readAll(storage, key),
    storage.getMessages(scope, [`${taskId}-1`, `${taskId}-2`]),
    storage.listPushNotifications(key),
    // With a window of 0, the call takes no claim.
    storage.claimMessage(scope, given.claimOf(`${taskId}-1`, "another", { windowMs: 0 })),
  ]);
  return {
    task: task && [task.head, task.state, task.contextId, task.commands.length, task.snapshot?.sequence],
    exists,
    entries: entries.map(({ batch, bytes }) => [batch, given.digestOf(bytes)]),
    messages: given.idsOf(messages),
    configs: configs.map(({ id }) => id),
    claim,
  };
}

function imageOfNothing() {
  return {
    task: undefined,
    exists: false,
    entries: [],
    messages: [],
    configs: [],
    claim: { outcome: "accepted", otherContent: false },
  };
}

/** Interrupts a removal, asserts that all tasks are whole or all are gone, and removes them. "kept" isn't removed. */
async function removed(
  run: FaultRun,
  remove: (storage: Storage) => Promise<boolean>,
  taskIds: readonly string[],
): Promise<Storage> {
  const before = await imagesOf(run.storage, [...taskIds, "kept"]);
  run.arm();
  const once: Once<boolean> = await run.once(remove);
  const storage = await run.end();
  const whole = await storage.taskExists(given.taskKey(taskIds[0] as string));
  const gone = { ...before, ...Object.fromEntries(taskIds.map((taskId) => [taskId, imageOfNothing()])) };
  assert.deepEqual(await imagesOf(storage, [...taskIds, "kept"]), whole ? before : gone);
  if (once.error === undefined) {
    assert.deepEqual([once.result, whole], [true, false]);
  } else {
    assert.ok(whole || once.error.outcome === "unknown", "A failure that changed nothing has changed something");
  }
  assert.equal(await remove(storage), whole);
  assert.deepEqual(await imagesOf(storage, [...taskIds, "kept"]), gone);
  return storage;
}

async function imagesOf(storage: Storage, taskIds: readonly string[]): Promise<Record<string, unknown>> {
  const images = taskIds.map(async (taskId) => [taskId, await imageOf(storage, taskId)] as const);
  return Object.fromEntries(await Promise.all(images));
}

/** Asserts that the message of a removed task creates a new task under the same id, with nothing of the old one. */
async function assertAnew(storage: Storage, taskId: string, contextId: string): Promise<void> {
  await fill(storage, taskId, contextId);
  assert.equal((await given.readAll(storage, given.taskKey(taskId))).length, 4);
  const claimed = await storage.claimMessage(scope, given.claimOf(`${taskId}-1`, "another"));
  assert.deepEqual(claimed, { outcome: "duplicate", taskId });
}

async function cleanUp(run: FaultRun): Promise<void> {
  const old = ["old-1", "old-2"];
  await fillAll(run.storage, { "old-1": "old-1", "old-2": "old-2", young: "young" });
  await given.commit(run.storage, given.taskKey("running"), given.nothing, { contextId: "running" });
  for (const contextId of [...old, "running"]) {
    await given.setLastAccess(run.storage, contextId, new Date(Date.now() - hourMs / 2));
  }
  const before = await imagesOf(run.storage, [...old, "young"]);
  run.arm();
  await run.once((storage) => storage.cleanupExpiredConversations(hourMs / 4));
  const storage = await run.end();
  for (const taskId of old) {
    const whole = await storage.taskExists(given.taskKey(taskId));
    assert.deepEqual(await imageOf(storage, taskId), whole ? before[taskId] : imageOfNothing());
    assert.equal((await storage.getConversation(scope, taskId)) !== undefined, whole);
  }
  await storage.cleanupExpiredConversations(hourMs / 4);
  for (const taskId of old) {
    assert.deepEqual(await imageOf(storage, taskId), imageOfNothing());
  }
  assert.deepEqual(await imageOf(storage, "young"), before.young);
  assert.equal(await storage.taskExists(given.taskKey("running")), true);
}
