import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Storage, TaskAppend } from "../../storage/storage.ts";
import type { FaultSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";
import { atEveryCommand, type FaultRun, faultKinds, usualKinds } from "./fault-run.ts";

const key = given.taskKey("task");
const { scope } = given;
const crashes = faultKinds.filter(({ crash }) => crash);

export const faultCases: readonly FaultSpec[] = [
  ...faultKinds.map(
    (kind): FaultSpec => ({
      name: `${kind.name}, anywhere in a task's life: the log has each batch once, the history is complete`,
      run: (open) => atEveryCommand(open, kind, liveThrough),
    }),
  ),
  {
    name: "the process ends anywhere in a task's life, and no batch is sent again: each message in the log is in its history",
    async run(open) {
      for (const kind of crashes) {
        await atEveryCommand(open, kind, dieOnce);
      }
    },
  },
  {
    name: "one command of an append that makes room in the log fails, and it is sent again: its message is in the history",
    async run(open) {
      for (const kind of faultKinds) {
        await atEveryCommand(open, kind, moveAndSay);
      }
    },
  },
  {
    name: "an append with an unknown outcome is either in the log, or never will be after another took its place",
    async run(open) {
      const found = { inLog: 0, notInLog: 0 };
      for (const kind of crashes) {
        await atEveryCommand(open, kind, async (run) => {
          const settled = await settleUnknown(run);
          if (settled !== undefined) {
            found[settled] += 1;
          }
        });
      }
      assert.ok(
        found.inLog > 0 && found.notInLog > 0,
        `Of the appends that were cut off, ${found.inLog} were in the log and ${found.notInLog} were not`,
      );
    },
  },
  {
    name: "a message of a lost append is in no history, whatever command fails",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, refuse);
      }
    },
  },
  {
    name: "a creation that was refused leaves no conversation, whatever command of the refusal fails",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          await run.storage.claimMessage(scope, given.claimOf("m1", "another"));
          run.arm();
          await run.once((storage) => storage.appendTask(key, creation("task", "m1")));
          assert.equal(
            await (await run.end()).getConversation(scope, "context"),
            undefined,
            "An empty conversation is left",
          );
        });
      }
    },
  },
  {
    name: "two senders of one message get the same task, whatever command of the first one fails",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, sendTwice);
      }
    },
  },
  {
    name: "messages stored at once with the claim that they settle, sent again after any failure, are there once",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          run.arm();
          await run.sure((storage) => storage.storeMessages(scope, exchange, question));
          assert.equal(await exchangeIn(await run.end()), "whole");
        });
      }
    },
  },
  {
    name: "an answer that was cut off is the one that a repeat gets, or is in no history, whatever command fails",
    async run(open) {
      for (const kind of faultKinds) {
        await atEveryCommand(open, kind, answerTwice);
      }
    },
  },
  {
    name: "messages stored at once with the claim that they settle are there whole or not at all",
    async run(open) {
      for (const kind of usualKinds) {
        await atEveryCommand(open, kind, async (run) => {
          run.arm();
          const { error } = await run.once((storage) => storage.storeMessages(scope, exchange, question));
          const found = await exchangeIn(await run.end());
          assert.notEqual(found, "in part");
          assert.ok(
            error?.outcome !== "none" || found === "nothing",
            "A failure that changed nothing has changed something",
          );
        });
      }
    },
  },
];

// ── A task's life ──

/** Each kind of append: a log of several records, a batch of several records, a large summary, a takeover, an end. */
const life: readonly given.AppendParts[] = [
  {
    entries: [given.createdEntry("m1"), given.messageEntry("m2")],
    messages: [
      { index: 0, messageId: "m1", timeMs: 1 },
      { index: 1, messageId: "m2", timeMs: 2 },
    ],
    claim: given.claimOf("m1", "task"),
  },
  { entries: [given.fillerEntry(40_000)] },
  { entries: [given.fillerEntry(40_000), given.textEntry("small")] },
  { entries: [given.messageEntry("m3")], messages: [{ index: 0, messageId: "m3", timeMs: 3 }] },
  { entries: [given.textEntry("asks")], state: TaskState.INPUT_REQUIRED, statusTimeMs: Date.now() },
  {
    entries: [given.messageEntry("m4")],
    messages: [{ index: 0, messageId: "m4", timeMs: 4 }],
    summary: given.fillerEntry(20_000),
  },
  { entries: [given.fillerEntry(150_000), given.textEntry("behind")] },
  { entries: [given.textEntry("taken over")], replica: "replica-2", fence: 2n },
  {
    entries: [given.statusEntry("m5")],
    messages: [{ index: 0, messageId: "m5", timeMs: 5 }],
    state: TaskState.COMPLETED,
    replica: "replica-2",
    fence: 2n,
  },
];

/** The appends, each after the one before. */
const appends: readonly TaskAppend[] = appendsOf(life);

function appendsOf(parts: readonly given.AppendParts[]): readonly TaskAppend[] {
  let after = given.nothing;
  return parts.map((one, index) => {
    const append = given.appendOf(after, { ...one, batch: `batch-${index}` });
    after = {
      head: after.head + BigInt(append.batch.entries.length),
      batch: append.batch.id,
      fence: append.header.fence,
    };
    return append;
  });
}

async function liveThrough(run: FaultRun): Promise<void> {
  run.arm();
  for (const append of appends) {
    const { result, open } = await run.sure((storage) => storage.appendTask(key, append));
    if (result.outcome !== "committed") {
      assert.ok(open, `${append.batch.id} is ${result.outcome}, although nothing came before it`);
      assert.ok(
        (await run.sure((storage) => isInLog(storage, append))).result,
        `${append.batch.id} is ${result.outcome} for good`,
      );
    }
  }
  const storage = await run.end();
  const log = await given.readAll(storage, key, 30_000);
  const expected = appends.flatMap(({ batch }) => batch.entries.map((bytes) => ({ batch: batch.id, bytes })));
  assert.deepEqual(
    log.map(({ batch }) => batch),
    expected.map(({ batch }) => batch),
  );
  given.assertEntries(
    log,
    expected.map(({ bytes }) => bytes),
  );
  const task = await given.taskOf(storage, key);
  assert.deepEqual(
    [task.head, task.batch, task.state, task.replica, task.fence],
    [BigInt(log.length), "batch-8", TaskState.COMPLETED, "replica-2", 2n],
  );
  const messageIds = ["m1", "m2", "m3", "m4", "m5"];
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), messageIds);
  assert.deepEqual((await storage.getConversation(scope, "context"))?.messageIds, messageIds);
  assert.deepEqual(await storage.claimMessage(scope, given.claimOf("m1", "other")), {
    outcome: "duplicate",
    taskId: "task",
  });
  // No task holds the conversation any more.
  await given.setLastAccess(storage, "context", new Date(Date.now() - 2 * 3_600_000));
  assert.equal(await storage.taskExists(key), false);
}

/** Like a server that restarts: it knows nothing of the append that was cut off. */
async function dieOnce(run: FaultRun): Promise<void> {
  run.arm();
  for (const append of appends) {
    const { error } = await run.once((storage) => storage.appendTask(key, append));
    if (error !== undefined) {
      break;
    }
  }
  const storage = await run.end();
  const batches = new Set((await given.readAll(storage, key)).map(({ batch }) => batch));
  const messageIds = appends
    .filter(({ batch }) => batches.has(batch.id))
    .flatMap(({ messages }) => messages.map(({ messageId }) => messageId));
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), messageIds);
  assert.deepEqual((await storage.getConversation(scope, "context"))?.messageIds ?? [], messageIds);
  assert.deepEqual(given.idsOf(await storage.getMessages(scope, messageIds)), messageIds);
}

/** An append that doesn't fit beside the one before it, so it makes room in the log first. */
async function moveAndSay(run: FaultRun): Promise<void> {
  const first = await given.commit(run.storage, key, given.nothing, { entries: [given.fillerEntry(60_000)] });
  const parts = { entries: [given.messageEntry("m1"), given.fillerEntry(30_000)], batch: "mine" };
  const append = given.appendOf(first, { ...parts, messages: [{ index: 0, messageId: "m1", timeMs: 1 }] });
  run.arm();
  const { result } = await run.sure((storage) => storage.appendTask(key, append));
  assert.ok(result.outcome === "committed" || given.lost(result).batch === "mine");
  const storage = await run.end();
  assert.equal(await isInLog(storage, append), true);
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["m1"]);
  assert.deepEqual(given.idsOf(await storage.getMessages(scope, ["m1"])), ["m1"]);
}

async function isInLog(storage: Storage, append: TaskAppend): Promise<boolean> {
  return (await storage.readTask(key, append.after.head, 1))[0]?.batch === append.batch.id;
}

// ── Unknown outcomes ──

/**
 * Interrupts an append, lets a rival append, and sends the first append again. Returns where it was found if its
 * outcome was unknown.
 */
async function settleUnknown(run: FaultRun): Promise<"inLog" | "notInLog" | undefined> {
  const first = await given.say(run.storage, key, given.nothing, "m1", 1);
  const entries = [given.messageEntry("m2"), given.fillerEntry(70_000)];
  const mine = given.appendOf(first, { entries, batch: "mine", messages: [{ index: 0, messageId: "m2", timeMs: 2 }] });
  run.arm();
  const { error } = await run.once((storage) => storage.appendTask(key, mine));
  const storage = await run.end();
  const present = await isInLog(storage, mine);
  assert.equal(present || error !== undefined, true, "An acknowledged append isn't in the log");
  assert.ok(!present || error?.outcome !== "none", "A failure that changed nothing has changed something");
  const end = present ? { head: first.head + 2n, batch: "mine", fence: 1n } : first;
  await given.commit(storage, key, end, { batch: "rival", entries: [given.textEntry("rival")] });
  assert.equal(given.lost(await storage.appendTask(key, mine)).batch, "rival");
  const batches = (await given.readAll(storage, key)).map(({ batch }) => batch);
  assert.deepEqual(batches, [first.batch, ...(present ? ["mine", "mine"] : []), "rival"]);
  assert.deepEqual(
    given.idsOf(await storage.listMessagesByContextId(scope, "context")),
    present ? ["m1", "m2"] : ["m1"],
  );
  return error?.outcome === "unknown" ? (present ? "inLog" : "notInLog") : undefined;
}

// ── Refusals ──

/** An append that is lost to a rival, and creations that are refused because of claims. */
async function refuse(run: FaultRun): Promise<void> {
  const first = await given.say(run.storage, key, given.nothing, "m1", 1, { claim: given.claimOf("m1", "task") });
  await given.commit(run.storage, key, first, { batch: "rival" });
  await run.storage.sendCommand(key, { id: "request", bytes: new Uint8Array([1]) });
  const refused = {
    entries: [given.messageEntry("lost"), given.fillerEntry(70_000)],
    messages: [{ index: 0, messageId: "lost", timeMs: 9 }],
    summary: given.fillerEntry(20_000),
    state: TaskState.COMPLETED,
    handled: ["request"],
  };
  run.arm();
  const late = await run.sure((storage) => storage.appendTask(key, given.appendOf(first, refused)));
  assert.equal(given.lost(late.result).batch, "rival");
  const duplicate = await run.sure((storage) => storage.appendTask(given.taskKey("twin"), creation("twin", "m1")));
  assert.deepEqual(duplicate.result, { outcome: "duplicate", claim: { taskId: "task" } });
  const reused = await run.sure((storage) =>
    storage.appendTask(given.taskKey("other"), creation("other", "m1", { contentHash: "b".repeat(64), strict: true })),
  );
  assert.deepEqual(reused.result, { outcome: "reused" });
  const storage = await run.end();
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["m1"]);
  assert.deepEqual((await storage.getConversation(scope, "context"))?.messageIds, ["m1"]);
  assert.equal(await storage.getMessage(scope, "lost"), undefined);
  assert.deepEqual(
    (await given.readAll(storage, key)).map(({ batch }) => batch),
    [first.batch, "rival"],
  );
  const task = await given.taskOf(storage, key);
  assert.deepEqual([task.state, task.commands.map(({ id }) => id)], [TaskState.WORKING, ["request"]]);
  given.assertBytes(task.summary, new Uint8Array([1, 2, 3]));
  assert.equal((await storage.listTasks({ scope, limit: 5 })).total, 1);
}

/** The first sender is interrupted. The second one uses the task that the claim names, or creates it. */
async function sendTwice(run: FaultRun): Promise<void> {
  run.arm();
  const first = await run.once((storage) => storage.appendTask(given.taskKey("first"), creation("first", "m1")));
  const storage = await run.end();
  let made = "second";
  const second = await storage.appendTask(given.taskKey("second"), creation("second", "m1"));
  if (second.outcome === "duplicate") {
    made = second.claim.taskId;
    assert.equal(made, "first");
    if (!(await storage.taskExists(given.taskKey("first")))) {
      given.committed(await storage.appendTask(given.taskKey("first"), creation("first", "m1")));
    }
  } else {
    given.committed(second);
    assert.notEqual(first.result?.outcome, "committed");
  }
  const { tasks } = await storage.listTasks({ scope, limit: 5 });
  assert.deepEqual(
    tasks.map((task) => task.key.taskId),
    [made],
  );
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["m1"]);
  const again = await storage.claimMessage(scope, given.claimOf("m1", "third"));
  assert.deepEqual(again, { outcome: "duplicate", taskId: made });
}

function creation(taskId: string, messageId: string, changes: Parameters<typeof given.claimOf>[2] = {}): TaskAppend {
  return given.appendOf(given.nothing, {
    claim: given.claimOf(messageId, taskId, changes),
    batch: `made-${taskId}`,
    entries: [given.createdEntry(messageId)],
    messages: [{ index: 0, messageId, timeMs: 1 }],
  });
}

// ── Messages without a task ──

const question = given.claimOf("question", "never-made");
const exchange = [
  given.messageOf("question", "question", "context"),
  given.messageOf("answer", "x".repeat(5_000), "context"),
];

/** The first answer is interrupted. The repeat gets it, or asks again and stores another answer. */
async function answerTwice(run: FaultRun): Promise<void> {
  await run.storage.claimMessage(scope, question);
  run.arm();
  const { error } = await run.once((storage) => storage.storeMessages(scope, exchange, question));
  const storage = await run.end();
  const repeat = await storage.claimMessage(scope, question);
  const answered = repeat.outcome === "duplicate" && repeat.answer !== undefined;
  assert.ok(answered || error !== undefined, "An acknowledged answer is lost");
  if (!answered) {
    const again = [given.messageOf("question", "question", "context"), given.messageOf("other", "other", "context")];
    await storage.storeMessages(scope, again, question);
  }
  const answer = answered ? "answer" : "other";
  assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(scope, "context")), ["question", answer]);
  const last = await storage.claimMessage(scope, question);
  assert.equal(last.outcome === "duplicate" ? last.answer?.messageId : undefined, answer);
}

async function exchangeIn(storage: Storage): Promise<"nothing" | "in part" | "whole"> {
  const history = given.idsOf(await storage.listMessagesByContextId(scope, "context"));
  const conversation = await storage.getConversation(scope, "context");
  const claimed = await storage.claimMessage(scope, { ...question, taskId: "another", windowMs: 0 });
  const answer = "answer" in claimed ? claimed.answer?.messageId : undefined;
  const parts = [history.join(), conversation?.messageIds.join(), answer];
  if (parts.every((part) => part === undefined || part === "")) {
    return conversation === undefined ? "nothing" : "in part";
  }
  return history.join() === "question,answer" && parts[1] === parts[0] && answer === "answer" ? "whole" : "in part";
}
