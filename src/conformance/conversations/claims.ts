import { strict as assert } from "node:assert";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ClaimResult } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const racers = Array.from({ length: 20 }, (_, index) => index);

export const claimCases: readonly CaseSpec[] = [
  {
    name: "of 20 claims of one message, one is accepted, and the others get its task",
    async run(storage) {
      const results = await Promise.all(
        racers.map((racer) => storage.claimMessage(given.scope, given.claimOf("m1", `task-${racer}`))),
      );
      const winner = results.findIndex(({ outcome }) => outcome === "accepted");
      assert.deepEqual(results[winner], { outcome: "accepted", otherContent: false });
      const others = results.filter((_, racer) => racer !== winner);
      assert.deepEqual(others, Array(19).fill({ outcome: "duplicate", taskId: `task-${winner}` }));
    },
  },
  {
    name: "the same id with other content is accepted with a flag, and is a claim of its own",
    async run(storage) {
      const one = given.claimOf("m1", "task-1");
      const other = given.claimOf("m1", "task-2", { contentHash: "b".repeat(64) });
      assert.deepEqual(await storage.claimMessage(given.scope, one), { outcome: "accepted", otherContent: false });
      assert.deepEqual(await storage.claimMessage(given.scope, other), { outcome: "accepted", otherContent: true });
      assert.deepEqual(await storage.claimMessage(given.scope, { ...other, taskId: "task-3" }), duplicate("task-2"));
      assert.deepEqual(await storage.claimMessage(given.scope, { ...one, taskId: "task-4" }), duplicate("task-1"));
    },
  },
  {
    name: "a strict claim refuses an id that was claimed with other content, alone and with a new task",
    async run(storage) {
      await storage.claimMessage(given.scope, given.claimOf("m1", "task-1"));
      const other = { ...given.claimOf("m1", "task-2", { contentHash: "b".repeat(64) }), strict: true };
      assert.deepEqual(await storage.claimMessage(given.scope, other), { outcome: "reused" });
      const key = given.taskKey("task-2");
      assert.deepEqual(await storage.appendTask(key, given.appendOf(given.nothing, { claim: other })), {
        outcome: "reused",
      });
      assert.equal(await storage.taskExists(key), false);
      // The refused claim was not stored: without `strict` the content is still new.
      assert.equal((await storage.claimMessage(given.scope, { ...other, strict: false })).outcome, "accepted");
    },
  },
  {
    name: "creating a task with an id that was claimed with other content says so",
    async run(storage) {
      await storage.claimMessage(given.scope, given.claimOf("m1", "task-1"));
      const claim = given.claimOf("m1", "task-2", { contentHash: "b".repeat(64) });
      const result = await storage.appendTask(given.taskKey("task-2"), given.appendOf(given.nothing, { claim }));
      assert.equal(result.outcome === "committed" && result.otherContent, true);
    },
  },
  {
    name: "claims of other ids with the same content are independent",
    async run(storage) {
      for (const messageId of ["m1", "m2"]) {
        const claim = given.claimOf(messageId, `task-of-${messageId}`);
        assert.deepEqual(await storage.claimMessage(given.scope, claim), { outcome: "accepted", otherContent: false });
      }
    },
  },
  {
    name: "when the window is over, a message is accepted again",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1", { windowMs: 150 });
      assert.equal((await storage.claimMessage(given.scope, claim)).outcome, "accepted");
      let result: ClaimResult | undefined;
      await given.eventually("the window was over", async () => {
        result = await storage.claimMessage(given.scope, given.claimOf("m1", "task-2"));
        return result.outcome === "accepted";
      });
      assert.deepEqual(result, { outcome: "accepted", otherContent: false });
      assert.deepEqual(await storage.claimMessage(given.scope, claim), duplicate("task-2"));
    },
  },
  {
    name: "a repeat of a message that was settled with an answer gets the answer",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1");
      await storage.claimMessage(given.scope, claim);
      const answer = given.messageWithUnknownField("answer", "context");
      await storage.storeMessages(given.scope, [given.messageOf("m1", "question", "context"), answer], claim);
      const result = await storage.claimMessage(given.scope, { ...claim, taskId: "task-2" });
      assert.equal(result.outcome, "duplicate");
      const { taskId, answer: found } = result as Extract<ClaimResult, { outcome: "duplicate" }>;
      assert.equal(taskId, "task-1");
      given.assertMessage(found, answer);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "context")), ["m1", "answer"]);
    },
  },
  {
    name: "a task is created with a claim that it holds already",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1");
      assert.equal((await storage.claimMessage(given.scope, claim)).outcome, "accepted");
      await given.commit(storage, given.taskKey("task-1"), given.nothing, { claim });
      assert.deepEqual(await storage.claimMessage(given.scope, { ...claim, taskId: "task-2" }), duplicate("task-1"));
    },
  },
  {
    name: "a task that is created with a claim claims the message",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1");
      await given.commit(storage, given.taskKey("task-1"), given.nothing, { claim });
      assert.deepEqual(await storage.claimMessage(given.scope, { ...claim, taskId: "task-2" }), duplicate("task-1"));
    },
  },
  {
    name: "creating with a claim that another task holds is a duplicate, and changes nothing",
    async run(storage) {
      await storage.claimMessage(given.scope, given.claimOf("m1", "task-1"));
      const create = creating("task-2");
      assert.deepEqual(await storage.appendTask(given.taskKey("task-2"), create), {
        outcome: "duplicate",
        claim: { taskId: "task-1" },
      });
      assert.equal(await storage.taskExists(given.taskKey("task-2")), false);
      assert.equal(await storage.getMessage(given.scope, "m1"), undefined);
      assert.equal((await storage.getConversationStats()).totalConversations, 0);
      assert.equal((await storage.listTasks({ scope: given.scope, limit: 1 })).total, 0);
    },
  },
  {
    name: "creating with a claim of an id that was claimed with other content succeeds",
    async run(storage) {
      await storage.claimMessage(given.scope, given.claimOf("m1", "task-1", { contentHash: "b".repeat(64) }));
      await given.commit(storage, given.taskKey("task-2"), given.nothing, { claim: given.claimOf("m1", "task-2") });
    },
  },
  {
    name: "of 20 tasks that are created with claims of one message, one is created",
    async run(storage) {
      const results = await Promise.all(
        racers.map((racer) => storage.appendTask(given.taskKey(`task-${racer}`), creating(`task-${racer}`))),
      );
      const winner = results.findIndex(({ outcome }) => outcome === "committed");
      const others = results.filter((_, racer) => racer !== winner);
      assert.deepEqual(others, Array(19).fill({ outcome: "duplicate", claim: { taskId: `task-${winner}` } }));
      const { tasks, total } = await storage.listTasks({ scope: given.scope, limit: 5 });
      assert.equal(total, 1);
      assert.equal(tasks[0]?.key.taskId, `task-${winner}`);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "context")), ["m1"]);
    },
  },
  {
    name: "a deleted task gives up the claim that it was created with",
    async run(storage) {
      const taken = given.claimOf("m1", "task-1");
      await storage.claimMessage(given.scope, taken);
      for (const claim of [taken, given.claimOf("m2", "task-2")]) {
        const key = given.taskKey(claim.taskId);
        const position = await given.commit(storage, key, given.nothing, { claim });
        await given.commit(storage, key, position);
        assert.equal(await storage.deleteTask(key), true);
        const again = { ...claim, taskId: `${claim.taskId} anew`, strict: true };
        assert.deepEqual(await storage.claimMessage(given.scope, again), { outcome: "accepted", otherContent: false });
      }
    },
  },
  {
    name: "the message of a deleted task creates another task with nothing of the old one",
    async run(storage) {
      given.committed(await storage.appendTask(given.taskKey("task-1"), creating("task-1")));
      assert.equal(await storage.deleteTask(given.taskKey("task-1")), true);
      const result = await storage.appendTask(given.taskKey("task-2"), creating("task-2"));
      assert.equal(given.committed(result).otherContent ?? false, false);
      assert.equal(await storage.taskExists(given.taskKey("task-1")), false);
      assert.deepEqual(given.idsOf(await storage.listMessagesByContextId(given.scope, "context")), ["m1"]);
      assert.deepEqual(await storage.claimMessage(given.scope, given.claimOf("m1", "task-3")), duplicate("task-2"));
    },
  },
  {
    name: "a deleted task leaves the claims of other tasks, of the same message id and of the same conversation",
    async run(storage) {
      const one = given.claimOf("m1", "task-1");
      const otherContent = given.claimOf("m1", "task-2", { contentHash: "b".repeat(64) });
      const otherMessage = given.claimOf("m2", "task-3");
      const notMade = given.claimOf("m3", "task-4");
      for (const claim of [one, otherContent, otherMessage]) {
        await given.commit(storage, given.taskKey(claim.taskId), given.nothing, { claim });
      }
      await storage.claimMessage(given.scope, notMade);
      assert.equal(await storage.deleteTask(given.taskKey("task-1")), true);
      assert.equal(await storage.deleteTask(given.taskKey("task-4")), false);
      for (const claim of [otherContent, otherMessage, notMade]) {
        assert.deepEqual(
          await storage.claimMessage(given.scope, { ...claim, taskId: "another" }),
          duplicate(claim.taskId),
        );
      }
      assert.deepEqual(await storage.claimMessage(given.scope, { ...one, taskId: "another" }), {
        outcome: "accepted",
        otherContent: true,
      });
    },
  },
  {
    name: "a new task under the id of a deleted one holds its own claim",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1");
      const key = given.taskKey("task-1");
      await given.commit(storage, key, given.nothing, { claim });
      await storage.deleteTask(key);
      await given.commit(storage, key, given.nothing, { claim });
      assert.deepEqual(await storage.claimMessage(given.scope, { ...claim, taskId: "another" }), duplicate("task-1"));
    },
  },
  {
    name: "a deleted conversation gives up the claims of its tasks, and leaves those of others",
    async run(storage) {
      const mine = [given.claimOf("m1", "task-1"), given.claimOf("m2", "task-2")];
      const other = given.claimOf("m3", "task-3");
      for (const claim of mine) {
        await given.commit(storage, given.taskKey(claim.taskId), given.nothing, { claim, state: TaskState.COMPLETED });
      }
      await given.commit(storage, given.taskKey("task-3"), given.nothing, { claim: other, contextId: "other" });
      await storage.deleteTask(given.taskKey("task-2"));
      assert.equal(await storage.deleteConversation(given.scope, "context"), true);
      for (const claim of mine) {
        const again = { ...claim, taskId: `${claim.taskId} anew`, strict: true };
        assert.deepEqual(await storage.claimMessage(given.scope, again), { outcome: "accepted", otherContent: false });
      }
      assert.deepEqual(await storage.claimMessage(given.scope, { ...other, taskId: "another" }), duplicate("task-3"));
    },
  },
  {
    name: "creating a task that exists is lost, with or without the claim it was created with",
    async run(storage) {
      const claim = given.claimOf("m1", "task-1");
      const key = given.taskKey("task-1");
      const position = await given.commit(storage, key, given.nothing, { claim });
      for (const again of [given.appendOf(given.nothing, { claim }), given.appendOf(given.nothing)]) {
        assert.equal(given.lost(await storage.appendTask(key, again)).batch, position.batch);
      }
    },
  },
];

function creating(taskId: string): ReturnType<typeof given.appendOf> {
  return given.appendOf(given.nothing, {
    claim: given.claimOf("m1", taskId),
    entries: [given.createdEntry("m1")],
    messages: [{ index: 0, messageId: "m1", timeMs: 1000 }],
  });
}

function duplicate(taskId: string): ClaimResult {
  return { outcome: "duplicate", taskId };
}
