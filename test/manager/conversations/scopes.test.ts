import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema, type StreamResponse, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  CleanupExpiredConversationsRequestSchema,
  ListConversationsRequestSchema,
  ListMessagesRequestSchema,
} from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { inputRequired } from "../../../src/agent/processor-events.ts";
import type { Caller } from "../../../src/domain/scope.ts";
import type { TaskError } from "../../../src/domain/task-error.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import {
  agent,
  brief,
  callerOf,
  collected,
  logOf,
  message,
  request,
  sent,
  setup,
  silent,
  stateOf,
} from "../fixtures.ts";

/**
 * Who has everything, and who must see none of it: each differs from the owner in one thing, or only in where the parts
 * are cut.
 */
const owner = callerOf("tenant", "owner");
const strangers: readonly [string, Caller][] = [
  ["another owner", callerOf("tenant", "other")],
  ["the same owner in another tenant", callerOf("other", "owner")],
  ["nobody in particular", callerOf("tenant", "")],
  ["the owner of no tenant", callerOf("", "owner")],
  ["one whose parts put together are the same", callerOf("tenanto", "wner")],
  ["one whose name differs in case", callerOf("tenant", "Owner")],
];

/** A task that asks, in conversation "c", with message "m". */
async function owned() {
  const { manager, faulty } = await setup(
    agent(async function* () {
      yield inputRequired("?");
    }),
  );
  const { id } = await sent(manager, message("secret", { contextId: "c", messageId: "m" }), owner);
  const ended = await sent(manager, message("secret", { contextId: "c", messageId: "n" }), owner);
  await manager.cancelTask(ended.id, owner);
  return { manager, faulty, ids: { task: id, ended: ended.id, context: "c", message: "m" } };
}

/** The first event of a stream, which is then hung up. */
async function firstOf(events: AsyncIterable<StreamResponse>): Promise<string> {
  for await (const event of events) return brief(event);
  return "nothing";
}

type Ids = Awaited<ReturnType<typeof owned>>["ids"];
type Path = readonly [string, (manager: TaskManager, ids: Ids, caller: Caller | undefined) => Promise<unknown>];

const paths: readonly Path[] = [
  ["getTask", (manager, { task }, caller) => manager.getTask(task, caller)],
  ["cancelTask", (manager, { task }, caller) => manager.cancelTask(task, caller)],
  ["cancelTask of an ended task", (manager, { ended }, caller) => manager.cancelTask(ended, caller)],
  [
    "sendMessage to the task",
    (manager, { task }, caller) => manager.sendMessage(request(message("x", { taskId: task })), caller),
  ],
  [
    "sendMessage to the task in its context",
    (manager, { task }, caller) => manager.sendMessage(request(message("x", { taskId: task, contextId: "c" })), caller),
  ],
  [
    "sendMessage to an ended task",
    (manager, { ended }, caller) => manager.sendMessage(request(message("x", { taskId: ended })), caller),
  ],
  [
    "sendStreamingMessage to the task",
    (manager, { task }, caller) =>
      firstOf(manager.sendStreamingMessage(request(message("x", { taskId: task })), caller)),
  ],
  ["subscribeToTask", (manager, { task }, caller) => firstOf(manager.subscribeToTask(task, undefined, caller))],
  ["subscribeToTask with a cursor", (manager, { task }, caller) => firstOf(manager.subscribeToTask(task, 1n, caller))],
  [
    "subscribeToTask of an ended task",
    (manager, { ended }, caller) => firstOf(manager.subscribeToTask(ended, undefined, caller)),
  ],
  ["watchTask", (manager, { task }, caller) => firstOf(manager.watchTask(task, 0n, caller))],
  ["watchTask above the head", (manager, { task }, caller) => firstOf(manager.watchTask(task, 999n, caller))],
  ["getTaskAt", (manager, { task }, caller) => manager.getTaskAt(task, 1n, caller)],
  ["getTaskAt above the head", (manager, { task }, caller) => manager.getTaskAt(task, 999n, caller)],
  ["taskExists", (manager, { task }, caller) => manager.taskExists(task, caller)],
  ["deleteTask", (manager, { ended }, caller) => manager.deleteTask(ended, caller)],
  ["deleteTask of one that hasn't ended", (manager, { task }, caller) => manager.deleteTask(task, caller)],
  ["conversations.get", (manager, { context }, caller) => manager.conversations.get(context, caller ?? nobody)],
  [
    "conversations.listMessages",
    (manager, { context }, caller) =>
      manager.conversations.listMessages(create(ListMessagesRequestSchema, { contextId: context }), caller ?? nobody),
  ],
  [
    "conversations.getMessage",
    (manager, ids, caller) => manager.conversations.getMessage(ids.message, caller ?? nobody),
  ],
  [
    "conversations.deleteMessage",
    (manager, ids, caller) => manager.conversations.deleteMessage(ids.message, caller ?? nobody),
  ],
  [
    "conversations.updateAccess",
    (manager, { context }, caller) => manager.conversations.updateAccess(context, caller ?? nobody),
  ],
  ["conversations.delete", (manager, { context }, caller) => manager.conversations.delete(context, caller ?? nobody)],
];

const nobody = callerOf("", "");
const missing: Ids = { task: "missing", ended: "missing", context: "missing", message: "missing" };

/** Everything that a caller sees of an outcome. The ids that the caller sent are made equal. */
async function told(call: Promise<unknown>, ids: Ids): Promise<unknown> {
  const plain = (text: string) => Object.values(ids).reduce((shown, id) => shown.replaceAll(`"${id}"`, '"ID"'), text);
  return call.then(
    (value) => ({ value }),
    ({ name, reason, message: text, metadata, violations }: TaskError) => ({
      name,
      reason,
      violations,
      text: plain(text),
      metadata: plain(JSON.stringify(metadata)),
    }),
  );
}

describe.each(strangers)("%s", (_, stranger) => {
  it.each(
    paths,
  )("gets from %s what it gets for things that don't exist (R184), and changes nothing", async (_name, call) => {
    const { manager, faulty, ids } = await owned();
    const before = [
      await logOf(faulty, ids.task, owner),
      await logOf(faulty, ids.ended, owner),
      await manager.conversations.get("c", owner),
    ];
    expect(await told(call(manager, ids, stranger), ids)).toEqual(
      await told(call(manager, missing, stranger), missing),
    );
    expect([
      await logOf(faulty, ids.task, owner),
      await logOf(faulty, ids.ended, owner),
      await manager.conversations.get("c", owner),
    ]).toEqual(before);
  });

  it("sees none of it in lists and counts, and can't clean it up", async () => {
    const { manager } = await owned();
    const { conversations } = manager;
    for (const contextId of ["", "c"]) {
      expect(await manager.listTasks(create(ListTasksRequestSchema, { contextId }), stranger)).toMatchObject({
        tasks: [],
        totalSize: 0,
      });
    }
    expect(
      await manager.listTasks(create(ListTasksRequestSchema, { status: TaskState.CANCELED }), stranger),
    ).toMatchObject({ tasks: [], totalSize: 0 });
    expect(await conversations.list(create(ListConversationsRequestSchema), stranger)).toMatchObject({
      conversations: [],
      nextPageToken: "",
    });
    expect(await conversations.stats(stranger)).toEqual({ totalConversations: 0, totalMessages: 0 });
    expect(
      await conversations.cleanup(create(CleanupExpiredConversationsRequestSchema, { maxAgeMs: 0n }), stranger),
    ).toBe(0);
    expect((await conversations.get("c", owner)).messageIds.length).toBeGreaterThan(0);
  });

  it("has its own conversation under the same context id, and neither agent sees the other's", async () => {
    const seen: string[][] = [];
    const { manager } = await setup(
      silent(async ({ history }) => {
        seen.push((await history()).map(({ messageId }) => messageId));
      }),
    );
    for (const caller of [owner, stranger])
      await sent(manager, message("x", { contextId: "c", messageId: `of ${caller.tenant}/${caller.owner}` }), caller);
    expect(seen).toEqual([["of tenant/owner"], [`of ${stranger.tenant}/${stranger.owner}`]]);
    expect((await manager.conversations.get("c", stranger)).messageIds).toHaveLength(1);
  });
});

it.each(paths)("%s of the owner himself finds what it is for", async (name, call) => {
  const { manager, ids } = await owned();
  const outcome = JSON.stringify(
    await told(
      call(manager, ids, owner).catch((error: TaskError) => ({ refused: error.reason })),
      ids,
    ),
    (_, value) => (typeof value === "bigint" ? String(value) : value),
  );
  expect(outcome).not.toContain("NOT_FOUND");
  expect(outcome, name).not.toBe('{"value":false}');
});

it("an agent reaches through its context only what its own caller does", async () => {
  const reached: unknown[] = [];
  const { manager } = await setup(
    silent(async ({ getTask, subscribeTask, cleanTask, message: { metadata } }) => {
      const id = String(metadata?.id ?? "");
      if (id === "") return;
      const reasonOf = (call: Promise<unknown>) =>
        call.then(
          () => "found",
          ({ reason }: TaskError) => reason,
        );
      reached.push(
        await reasonOf(getTask(id)),
        await reasonOf(collected(subscribeTask(id))),
        await reasonOf(cleanTask(id)),
      );
    }),
  );
  const { id } = await sent(manager, message("x", { contextId: "c" }), owner);
  await sent(manager, message("spy", { contextId: "c", metadata: { id } }), callerOf("tenant", "other"));
  expect(reached).toEqual(["TASK_NOT_FOUND", "TASK_NOT_FOUND", "found"]);
  expect(stateOf((await manager.getTask(id, owner)).task)).toBe("COMPLETED");
});

it("a request's tenant counts only where the caller isn't known", async () => {
  const { manager } = await setup(silent(async () => {}));
  const toTenant = async (caller?: Caller) => manager.sendMessage(request(message("x"), { tenant: "tenant" }), caller);
  await toTenant(owner);
  await toTenant(callerOf("other", "owner"));
  await toTenant();
  const totals = await Promise.all(
    [owner, callerOf("other", "owner"), callerOf("tenant", "")].map(
      async (caller) =>
        (await manager.listTasks(create(ListTasksRequestSchema, { tenant: "tenant" }), caller)).totalSize,
    ),
  );
  expect(totals).toEqual([1, 1, 1]);
  expect((await manager.listTasks(create(ListTasksRequestSchema, { tenant: "tenant" }))).totalSize).toBe(1);
});
