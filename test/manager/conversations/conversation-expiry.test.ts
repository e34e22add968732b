import { expect, it } from "vitest";
import { eventually } from "../../runner/eventually.ts";
import { callerOf, expectRefused, message, sent, stateOf } from "../fixtures.ts";
import { alice, caller, talk } from "../talk.ts";

it("time ends a conversation that nobody accesses, and everything in it", async () => {
  const { manager, conversations, say, pass, list } = await talk({
    conversationTtlMs: 1_000,
    leaseMs: 250,
    enableCleanup: false,
  });
  const { id } = await sent(manager, message("x", { contextId: "c" }), caller);
  await pass(600);
  await manager.getTask(id, caller);
  await pass(600);
  expect(await manager.taskExists(id, caller)).toBe(true);
  await pass(1_001);
  await expectRefused(manager.getTask(id, caller), "TASK_NOT_FOUND");
  await expectRefused(conversations.get("c", alice), "CONVERSATION_NOT_FOUND");
  expect((await list()).conversations).toEqual([]);
  await say("c", "new");
  expect((await conversations.get("c", alice)).messageIds).toHaveLength(2);
});

it("time doesn't end a conversation whose task runs, or asks for less than its own time", async () => {
  const { manager, pass } = await talk({
    conversationTtlMs: 1_000,
    leaseMs: 250,
    interruptedTtlMs: 5_000,
    enableCleanup: false,
  });
  const { id } = await sent(manager, message("ask", { contextId: "c" }), caller);
  await pass(4_000);
  expect(stateOf((await manager.getTask(id, caller)).task)).toBe("INPUT_REQUIRED");
  await pass(6_000);
  await expectRefused(manager.getTask(id, caller), "TASK_NOT_FOUND");
});

it("a cleanup takes what is older than asked, of this owner alone; by default what is past its time", async () => {
  const { manager, conversations, say, pass, cleanup } = await talk({ enableCleanup: false });
  await say("old", "x");
  await sent(manager, message("x", { contextId: "his" }), callerOf("t", "bob"));
  await pass(1_000);
  await say("new", "x");
  expect(await cleanup()).toBe(0);
  expect(await cleanup(500n)).toBe(1);
  expect(await conversations.stats(alice)).toMatchObject({ totalConversations: 1 });
  expect(await conversations.stats({ tenant: "t", owner: "bob" })).toMatchObject({ totalConversations: 1 });
  await pass(1);
  expect(await cleanup(0n)).toBe(1);
  await expectRefused(cleanup(-1n), "INVALID_REQUEST");
});

it("a sweep is done by the manager itself", async () => {
  const { say, pass, faulty } = await talk({ conversationTtlMs: 1_000, leaseMs: 250, cleanupIntervalMs: 500 });
  await say("c", "x");
  // The next round begins its wait only when the one before has ended.
  await eventually("there were three rounds", async () => {
    await pass(100);
    return faulty.callsOf("cleanupExpiredConversations").length >= 3;
  });
  expect(await faulty.storage.getExpiredConversations(0, 10)).toEqual([]);
});
