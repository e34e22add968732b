import { timestampDate } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { authRequired, textOf } from "../../../src/agent/processor-events.ts";
import { encodePageToken } from "../../../src/manager/read/page-token.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { begun, expectRefused, message, reading, request, ScriptedAgent, sent, setup, textsOf } from "../fixtures.ts";

import { alice, caller, talk } from "../talk.ts";

describe("a conversation", () => {
  it("has the ids of its messages, with and without tasks, oldest first, and its last access", async () => {
    const { conversations, say, messages, clock } = await talk();
    await say("c", "one", "bare two", "three");
    const { contextId, messageIds, lastAccessTime } = await conversations.get("c", alice);
    const all = (await messages("c")).messages;
    expect(textsOf(all)).toEqual(["one", "re one", "bare two", "re bare two", "three", "re three"]);
    expect([contextId, messageIds, lastAccessTime && timestampDate(lastAccessTime).getTime()]).toEqual([
      "c",
      all.map(({ messageId }) => messageId),
      clock.now() - 1,
    ]);
    // R83: every one of the server's own names its context, and a task only if there is one.
    expect(all.map((one) => [one.contextId, one.taskId !== ""])).toEqual([
      ["c", true],
      ["c", true],
      ["c", false],
      ["c", false],
      ["c", true],
      ["c", true],
    ]);
  });

  it("that doesn't exist is not found, by any method that needs it", async () => {
    const { conversations, messages } = await talk();
    await expectRefused(conversations.get("none", alice), "CONVERSATION_NOT_FOUND");
    await expectRefused(messages("none"), "CONVERSATION_NOT_FOUND");
    await expectRefused(conversations.updateAccess("none", alice), "CONVERSATION_NOT_FOUND");
    expect(await conversations.delete("none", alice)).toBe(false);
    expect(await conversations.getMessage("none", alice)).toBeUndefined();
    expect(await conversations.deleteMessage("none", alice)).toBe(false);
  });

  it("keeps no more messages than it may; a task keeps its own", async () => {
    const { manager, say, messages, pass } = await talk({}, 3);
    const { id } = await sent(manager, message("one", { contextId: "c" }), caller);
    await pass(1);
    await say("c", "two");
    expect(textsOf((await messages("c")).messages)).toEqual(["re one", "two", "re two"]);
    expect(textsOf((await manager.getTask(id, caller)).task.history)).toEqual(["one"]);
  });
});

describe("a list", () => {
  it("of conversations is the one accessed last first, page by page", async () => {
    const { conversations, say, list, pass } = await talk();
    for (const contextId of ["a", "b", "c", "d"]) await say(contextId, "x");
    await conversations.updateAccess("a", alice);
    await pass(1);
    const first = await list({ pageSize: 3 });
    const second = await list({ pageSize: 3, pageToken: first.nextPageToken });
    expect([...first.conversations, ...second.conversations].map(({ contextId }) => contextId)).toEqual([
      "a",
      "d",
      "c",
      "b",
    ]);
    expect(second.nextPageToken).toBe("");
  });

  it("of messages is the newest few, or all, or pages that go on where the last one ended", async () => {
    const { messages, say } = await talk();
    await say("c", "one", "bare two", "three");
    const all = textsOf((await messages("c")).messages);
    expect(textsOf((await messages("c", { limit: 2 })).messages)).toEqual(all.slice(-2));
    expect(textsOf((await messages("c", { limit: -1 })).messages)).toEqual(all);
    const pages: string[][] = [];
    let pageToken = "";
    do {
      const page = await messages("c", { pageSize: 4, pageToken });
      pages.push([...textsOf(page.messages)]);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages).toEqual([all.slice(0, 4), all.slice(4)]);
  });

  it("of messages ends a page early where it would be too large for one answer, and goes on with the next", async () => {
    const { messages, say } = await talk({ maxEventBytes: 4096 });
    const texts = [1, 2, 3, 4].map((digit) => String(digit).repeat(1_500));
    await say("c", ...texts);
    const all = texts.flatMap((text) => [text, `re ${text}`]);
    for (const [limit, start] of [
      [undefined, 0],
      [-1, 0],
      [3, 5],
    ] as const) {
      const first = await messages("c", limit === undefined ? {} : { limit });
      expect(textsOf(first.messages)).toEqual(all.slice(start, start + 2));
      const second = await messages("c", { pageToken: first.nextPageToken });
      expect(textsOf(second.messages)).toEqual(all.slice(start + 2, start + 4));
    }
    const pages: string[][] = [];
    let pageToken = "";
    do {
      const page = await messages("c", { pageSize: 100, pageToken });
      pages.push([...textsOf(page.messages)]);
      pageToken = page.nextPageToken;
    } while (pageToken !== "");
    expect(pages.flat()).toEqual(all);
    expect(pages.map(({ length }) => length)).toEqual([2, 2, 2, 2]);
  });

  it.each([
    ["a limit of 0", { limit: 0 }],
    ["a limit of -2", { limit: -2 }],
    ["a limit with a page", { limit: 1, pageSize: 1 }],
    ["a page of 0", { pageSize: 0 }],
    ["a page of 101", { pageSize: 101 }],
    ["a token of another list", { pageToken: encodePageToken(["messages", "t", "alice", "other"], [1, "t", "1"]) }],
    ["another owner's token", { pageToken: encodePageToken(["messages", "t", "bob", "c"], [1, "t", "1"]) }],
    [
      "a token with a sequence of letters",
      { pageToken: encodePageToken(["messages", "t", "alice", "c"], [1, "t", "abc"]) },
    ],
    ["a token with a fraction", { pageToken: encodePageToken(["messages", "t", "alice", "c"], [1, "t", "1.5"]) }],
    [
      "a token with a negative sequence",
      { pageToken: encodePageToken(["messages", "t", "alice", "c"], [1, "t", "-5"]) },
    ],
    [
      "a token with a huge sequence",
      { pageToken: encodePageToken(["messages", "t", "alice", "c"], [1, "t", "9".repeat(40)]) },
    ],
  ])("of messages with %s is refused", async (_, init) => {
    const { messages, say } = await talk();
    await say("c", "x");
    await expectRefused(messages("c", init), "INVALID_REQUEST");
  });

  it("with a place that a storage refuses is refused by the name of its token", async () => {
    const { messages, list, say } = await talk();
    await say("c", "x");
    const refusal = { reason: "INVALID_REQUEST", violations: [{ field: "page_token" }] };
    for (const place of [
      [1.5, "t", "1"],
      [1, "\ud800", "1"],
      [1, "x".repeat(257), "1"],
      [1, "t", "9".repeat(19)],
    ]) {
      const pageToken = encodePageToken(["messages", "t", "alice", "c"], place);
      await expect(messages("c", { pageToken }), String(place)).rejects.toMatchObject(refusal);
    }
    for (const place of [
      [1.5, "c"],
      [1, ""],
      [1, "\ud800"],
      [1, "x".repeat(257)],
    ]) {
      const pageToken = encodePageToken(["conversations", "t", "alice"], place);
      await expect(list({ pageToken }), String(place)).rejects.toMatchObject(refusal);
    }
  });
});

describe("a message", () => {
  it.each([
    ["with a task", "x"],
    ["without one", "bare"],
  ])("%s is found by its id, and gone from the conversation once deleted; its task keeps it", async (_, text) => {
    const { manager, conversations, messages } = await talk();
    const said = message(text, { contextId: "c", messageId: "mine" });
    const sent = await manager.sendMessage(request(said), caller);
    expect(textOf((await conversations.getMessage("mine", alice)) ?? { parts: [] })).toBe(text);
    expect(await conversations.deleteMessage("mine", alice)).toBe(true);
    expect([await conversations.getMessage("mine", alice), await conversations.deleteMessage("mine", alice)]).toEqual([
      undefined,
      false,
    ]);
    expect(textsOf((await messages("c")).messages)).toEqual([`re ${text}`]);
    const history =
      sent.kind === "task" ? (await manager.getTask(sent.task.id, caller)).task.history : [{ messageId: "mine" }];
    expect(history.map(({ messageId }) => messageId)).toContain("mine");
  });
});

describe("deleting a conversation", () => {
  it("is refused while a task runs or waits for its place", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted, { options: { maxRunningTasks: 1 } });
    await begun(manager, message("runs", { contextId: "c" }), caller);
    await begun(manager, message("waits", { contextId: "d" }), caller);
    for (const contextId of ["c", "d"])
      await expectRefused(manager.conversations.delete(contextId, alice), "STILL_RUNNING");
    scripted.turns[0]?.return();
    (await scripted.turn(1)).return();
    await settle();
    for (const contextId of ["c", "d"]) expect(await manager.conversations.delete(contextId, alice)).toBe(true);
  });

  it("is refused if a task is accepted after it began, and leaves that task alone", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const asked = await begun(manager, message("one", { contextId: "c" }), caller);
    scripted.turns[0]?.return();
    await settle();
    faulty.fail({ methods: "deleteConversation", fault: "held", times: 1 });
    const deletion = manager.conversations.delete("c", alice);
    const refused = expectRefused(deletion, "STILL_RUNNING");
    await settle();
    const accepted = await begun(manager, message("two", { contextId: "c" }), caller);
    faulty.release();
    await refused;
    expect(await manager.taskExists(accepted.id, caller)).toBe(true);
    expect(await manager.taskExists(asked.id, caller)).toBe(true);
    (await scripted.turn(1)).return();
    await settle();
    expect(await manager.conversations.delete("c", alice)).toBe(true);
  });

  it("takes everything with it, and ends the readers of its waiting tasks", async () => {
    const { manager, conversations, say, messages } = await talk();
    const asked = await sent(manager, message("ask", { contextId: "c" }), caller);
    await say("c", "one", "bare");
    await say("d", "other");
    const reader = reading(manager.subscribeToTask(asked.id, undefined, caller));
    const watcher = reading(manager.watchTask(asked.id, 0n, caller));
    await settle();
    expect(await conversations.delete("c", alice)).toBe(true);
    await expectRefused(reader.ended, "TASK_NOT_FOUND");
    await expectRefused(watcher.ended, "TASK_NOT_FOUND");
    await expectRefused(manager.getTask(asked.id, caller), "TASK_NOT_FOUND");
    await expectRefused(
      manager.sendMessage(request(message("answer", { taskId: asked.id })), caller),
      "TASK_NOT_FOUND",
    );
    await expectRefused(manager.cancelTask(asked.id, caller), "TASK_NOT_FOUND");
    await expectRefused(messages("c"), "CONVERSATION_NOT_FOUND");
    expect(await conversations.stats(alice)).toMatchObject({ totalConversations: 1, totalMessages: 2 });
    // The id used again is a new conversation.
    await say("c", "again");
    expect(textsOf((await messages("c")).messages)).toEqual(["again", "re again"]);
  });

  it("ends a turn that waits for a credential, and who waits for it; nobody is shown its task any more", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const asks = sent(manager, message("go", { contextId: "c" }), caller);
    const turn = await scripted.turn();
    await turn.yield(authRequired("sign in"));
    const { id } = await asks;
    const waits = sent(manager, message("more", { taskId: id }), caller);
    waits.catch(() => undefined);
    await settle();
    expect(await manager.conversations.delete("c", alice)).toBe(true);
    await expectRefused(manager.getTask(id, caller), "TASK_NOT_FOUND");
    await expectRefused(waits, "TASK_NOT_FOUND");
    expect(turn.told).toBe("lost");
    turn.return();
  });
});

it("statistics count what the owner has", async () => {
  const { conversations, say, clock } = await talk();
  expect(await conversations.stats(alice)).toEqual({ totalConversations: 0, totalMessages: 0 });
  const start = clock.now();
  await say("c", "one");
  await say("d", "bare");
  expect(await conversations.stats(alice)).toEqual({
    totalConversations: 2,
    totalMessages: 4,
    oldestAccess: new Date(start),
    newestAccess: new Date(start + 1),
  });
});

it.each<[string, (all: Awaited<ReturnType<typeof talk>>) => Promise<unknown>]>([
  ["get", ({ conversations }) => conversations.get("c", alice)],
  ["list", ({ list }) => list()],
  ["listMessages", ({ messages }) => messages("c")],
  ["getMessage", ({ conversations }) => conversations.getMessage("m", alice)],
  ["deleteMessage", ({ conversations }) => conversations.deleteMessage("m", alice)],
  ["updateAccess", ({ conversations }) => conversations.updateAccess("c", alice)],
  ["delete", ({ conversations }) => conversations.delete("c", alice)],
  ["stats", ({ conversations }) => conversations.stats(alice)],
  ["cleanup", ({ cleanup }) => cleanup()],
])("%s is refused where the storage is down, and once the manager is closed", async (_, call) => {
  const all = await talk();
  await all.say("c", "x");
  all.faulty.fail({ fault: "unavailable" });
  await expectRefused(call(all), "UNAVAILABLE");
  all.faulty.heal();
  await all.manager[Symbol.asyncDispose]();
  await expectRefused(call(all), "UNAVAILABLE");
});
