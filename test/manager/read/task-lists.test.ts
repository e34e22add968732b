import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema, type Task, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, completed, inputRequired, textOf, working } from "../../../src/agent/processor-events.ts";
import type { ListedTasks } from "../../../src/manager/read/list-tasks.ts";
import { encodePageToken } from "../../../src/manager/read/page-token.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import {
  agent,
  begun,
  callerOf,
  expectRefused,
  message,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
  textsOf,
} from "../fixtures.ts";

type Page = Omit<ListedTasks, "tasks"> & { readonly tasks: readonly Task[] };
type Query = MessageInitShape<typeof ListTasksRequestSchema>;

async function list(manager: TaskManager, query: Query = {}, caller?: ReturnType<typeof callerOf>): Promise<Page> {
  const page = await manager.listTasks(create(ListTasksRequestSchema, query), caller);
  return { ...page, tasks: page.tasks.map(({ task }) => task) };
}

async function allPages(manager: TaskManager, query: Query, caller?: ReturnType<typeof callerOf>): Promise<Page[]> {
  const pages: Page[] = [];
  let pageToken = "";
  do {
    const page = await list(manager, { ...query, pageToken }, caller);
    pages.push(page);
    pageToken = page.nextPageToken;
  } while (pageToken !== "");
  return pages;
}

const firstTexts = (tasks: readonly Task[]) => tasks.map(({ history }) => textOf(history[0] ?? { parts: [] }));

/**
 * Says in its text what becomes of the task: "ask" asks, "fail" fails, all else completes with an artifact of that
 * size.
 */
const obedient: MessageProcessor = agent(async function* ({ message }) {
  const text = textOf(message);
  if (text.startsWith("fail")) throw new Error("As it was told");
  if (text.startsWith("ask")) yield inputRequired("?");
  else
    yield artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x".repeat(Number(text) || 1) } }] });
});

describe("a list of tasks", () => {
  it("is the newest status first, and of one millisecond each exactly once, page by page (R46–R50)", async () => {
    const { manager, clock } = await setup(obedient);
    // Three of a millisecond: the pages cut through them.
    for (let index = 0; index < 12; index++) {
      await sent(manager, `t${index}`);
      if (index % 3 === 2) await clock.advance(1);
    }
    const pages = await allPages(manager, { pageSize: 5, historyLength: 1 });
    expect(pages.map(({ tasks, pageSize, totalSize }) => [tasks.length, pageSize, totalSize])).toEqual([
      [5, 5, 12],
      [5, 5, 12],
      [2, 5, 12],
    ]);
    const tasks = pages.flatMap((page) => page.tasks);
    expect(new Set(tasks.map(({ id }) => id)).size).toBe(12);
    const times = tasks.map(
      ({ status }) => Number(status?.timestamp?.seconds) * 1000 + Number(status?.timestamp?.nanos) / 1e6,
    );
    expect(times).toEqual(times.toSorted((a, b) => b - a));
    expect(firstTexts(tasks).slice(0, 3).toSorted()).toEqual(["t10", "t11", "t9"]);
  });

  it("neither skips nor repeats where a task moves up between two pages", async () => {
    const { manager, clock } = await setup(obedient);
    const ids: string[] = [];
    for (const text of ["ask 0", "ask 1", "ask 2", "ask 3"]) {
      ids.push((await sent(manager, text)).id);
      await clock.advance(1);
    }
    const first = await list(manager, { pageSize: 2 });
    await sent(manager, message("ask again", { taskId: ids[0] as string }));
    const second = await list(manager, { pageSize: 2, pageToken: first.nextPageToken });
    expect([...first.tasks, ...second.tasks].map(({ id }) => ids.indexOf(id))).toEqual([3, 2, 1]);
    expect([second.nextPageToken, second.totalSize]).toEqual(["", 4]);
  });

  it("isn't moved by artifacts and messages, which change no status", async () => {
    const scripted = new ScriptedAgent();
    const { manager, clock } = await setup(scripted);
    const older = await begun(manager, "older");
    const turn = await scripted.turn();
    await turn.context.committed();
    await clock.advance(5);
    const newer = await begun(manager, "newer");
    await clock.advance(5);
    await turn.yield(artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "x" } }] }));
    await begun(manager, message("more", { taskId: older.id }));
    expect((await list(manager)).tasks.map(({ id }) => id)).toEqual([newer.id, older.id]);
    await turn.yield(working("a word"));
    await turn.context.committed();
    expect((await list(manager)).tasks.map(({ id }) => id)).toEqual([older.id, newer.id]);
  });

  it("of nobody's tasks has all its fields (R48, R49)", async () => {
    const { manager } = await setup(obedient);
    expect(await list(manager)).toMatchObject({ tasks: [], nextPageToken: "", pageSize: 50, totalSize: 0 });
  });

  it("filters by context, state and time, together and inclusively (R42, R43)", async () => {
    const { manager, clock } = await setup(obedient);
    const start = clock.now();
    for (const [contextId, text] of [
      ["c1", "ask"],
      ["c1", "1"],
      ["c2", "ask"],
      ["c2", "fail"],
    ] as const) {
      await sent(manager, message(text, { contextId }));
      await clock.advance(10);
    }
    const totals = async (query: Query) => {
      const { tasks, totalSize } = await list(manager, query);
      expect(tasks).toHaveLength(totalSize);
      return tasks.map((task) => `${task.contextId} ${stateOf(task)}`);
    };
    const at = (ms: number, nanos = 0) => ({
      ...timestampFromMs(start + ms),
      nanos: timestampFromMs(start + ms).nanos + nanos,
    });
    expect(await totals({ contextId: "c1" })).toEqual(["c1 COMPLETED", "c1 INPUT_REQUIRED"]);
    expect(await totals({ status: TaskState.INPUT_REQUIRED })).toEqual(["c2 INPUT_REQUIRED", "c1 INPUT_REQUIRED"]);
    expect(await totals({ contextId: "c2", status: TaskState.FAILED })).toEqual(["c2 FAILED"]);
    expect(await totals({ contextId: "none" })).toEqual([]);
    expect(await totals({ statusTimestampAfter: at(20) })).toEqual(["c2 FAILED", "c2 INPUT_REQUIRED"]);
    expect(await totals({ statusTimestampAfter: at(20, 1) })).toEqual(["c2 FAILED"]);
    expect(await totals({ statusTimestampAfter: at(20), contextId: "c2", status: TaskState.INPUT_REQUIRED })).toEqual([
      "c2 INPUT_REQUIRED",
    ]);
    for (const seconds of [-62_135_596_800n, -1n, 0n])
      expect(await totals({ statusTimestampAfter: { seconds, nanos: 0 } })).toHaveLength(4);
    expect(await totals({ statusTimestampAfter: { seconds: 253_402_300_799n, nanos: 999_999_999 } })).toEqual([]);
  });

  it("shows artifacts only if asked, and so much of the history as asked (R51, R52, R62–R64)", async () => {
    const { manager } = await setup(obedient);
    const { id } = await sent(manager, "ask");
    await sent(manager, message("1", { taskId: id }));
    const views: readonly [Query, number, readonly string[]][] = [
      [{}, 0, []],
      [{ includeArtifacts: false, historyLength: 0 }, 0, []],
      [{ includeArtifacts: true }, 1, []],
      [{ historyLength: 1 }, 0, ["1"]],
      [{ historyLength: 2, includeArtifacts: true }, 1, ["?", "1"]],
      [{ historyLength: 50 }, 0, ["ask", "?", "1"]],
    ];
    for (const [query, artifacts, history] of views) {
      const [task] = (await list(manager, query)).tasks;
      expect([task?.artifacts.length, textsOf(task?.history ?? []), stateOf(task as Task)]).toEqual([
        artifacts,
        history,
        "COMPLETED",
      ]);
    }
  });

  it("ends a page early where its tasks would be too large for one answer, and goes on with the next (R44)", async () => {
    const { manager, clock } = await setup(obedient, { options: { maxEventBytes: 4096 } });
    for (const size of [3000, 500, 3000, 3000, 10]) {
      await sent(manager, String(size));
      await clock.advance(1);
    }
    const pages = await allPages(manager, { includeArtifacts: true, historyLength: 1 });
    expect(pages.map(({ tasks }) => firstTexts(tasks))).toEqual([["10", "3000"], ["3000", "500"], ["3000"]]);
    expect(pages.map(({ totalSize }) => totalSize)).toEqual([5, 5, 5]);
    // What shows neither needs no room.
    expect((await list(manager)).tasks).toHaveLength(5);
  });

  it("does so without artifacts and history too, where the words of the statuses are what is large", async () => {
    const { manager, clock } = await setup(
      agent(async function* () {
        yield completed("x".repeat(1_500));
      }),
      { options: { maxEventBytes: 4096 } },
    );
    for (let count = 0; count < 5; count++) {
      await sent(manager, "x");
      await clock.advance(1);
    }
    const pages = await allPages(manager, { pageSize: 100 });
    expect(pages.map(({ tasks }) => tasks.length)).toEqual([2, 2, 1]);
    expect(new Set(pages.flatMap(({ tasks }) => tasks.map(({ id }) => id))).size).toBe(5);
  });
});

describe("a page token", () => {
  async function token() {
    const { manager } = await setup(obedient);
    const mallory = callerOf("t", "mallory");
    for (const caller of [callerOf("t", "alice"), mallory])
      for (let index = 0; index < 3; index++) await sent(manager, message("1", { contextId: "c" }), caller);
    const query = {
      pageSize: 1,
      contextId: "c",
      status: TaskState.COMPLETED,
      statusTimestampAfter: timestampFromMs(0),
    };
    const { nextPageToken } = await list(manager, query, callerOf("t", "alice"));
    return { manager, mallory, query, pageToken: nextPageToken };
  }

  it("is good for the same filters and caller, whatever the page's size and view", async () => {
    const { manager, query, pageToken } = await token();
    const alice = callerOf("t", "alice");
    expect(
      (await list(manager, { ...query, pageToken, pageSize: 10, includeArtifacts: true, historyLength: 3 }, alice))
        .tasks,
    ).toHaveLength(2);
  });

  it.each<[string, Query]>([
    ["without the context", { contextId: "" }],
    ["of another context", { contextId: "d" }],
    ["without the state", { status: TaskState.UNSPECIFIED }],
    ["of another state", { status: TaskState.FAILED }],
    ["of another time", { statusTimestampAfter: timestampFromMs(1) }],
  ])("is refused for a list %s", async (_, other) => {
    const { manager, query, pageToken } = await token();
    await expect(list(manager, { ...query, ...other, pageToken }, callerOf("t", "alice"))).rejects.toMatchObject({
      reason: "INVALID_REQUEST",
      violations: [{ field: "page_token" }],
    });
  });

  it("is refused for another caller, and one made up leads to nothing of anybody else's", async () => {
    const { manager, mallory, query, pageToken } = await token();
    for (const caller of [mallory, callerOf("u", "alice"), undefined])
      await expectRefused(list(manager, { ...query, pageToken }, caller), "INVALID_REQUEST");
    const forged = encodePageToken(["tasks", "t", "mallory", "", 0, null], [Number.MAX_SAFE_INTEGER, "z"]);
    const { tasks } = await list(manager, { pageToken: forged }, mallory);
    expect(tasks).toHaveLength(3);
  });

  it("that no list gave is refused by its own name, never in terms of the storage", async () => {
    const { manager } = await setup(obedient);
    const own = ["tasks", "", "", "", 0, null];
    const tampered = encodePageToken(own, [5, "a"]);
    const tokens = [
      "x",
      "%%%",
      " ",
      "null",
      "e30",
      "W10",
      "WzFd",
      "A".repeat(5000),
      Buffer.from('[5,"a",""]').toString("base64url"),
      `${tampered}=`,
      `${tampered} `,
      tampered.slice(0, -1),
      tampered.toUpperCase(),
      encodePageToken(["conversations", "", ""], [5, "a"]),
      encodePageToken(own, ["5", "a"]),
      encodePageToken(own, [5]),
      encodePageToken(own, [5, "a", "b"]),
      encodePageToken(own, [1.5, "a"]),
      encodePageToken(own, [1e300, "a"]),
      encodePageToken(own, [Number.NaN, "a"]),
      encodePageToken(own, [5, "x".repeat(300)]),
      encodePageToken(own, [5, ""]),
      encodePageToken(own, [5, "\ud800"]),
    ];
    for (const pageToken of tokens)
      await expect(list(manager, { pageToken }), pageToken.slice(0, 80)).rejects.toMatchObject({
        reason: "INVALID_REQUEST",
        violations: [{ field: "page_token" }],
      });
  });
});

it.each<[string, Query, string]>([
  ["a page of 0", { pageSize: 0 }, "page_size"],
  ["a page of -1", { pageSize: -1 }, "page_size"],
  ["a page of 101", { pageSize: 101 }, "page_size"],
  ["a negative history", { historyLength: -1 }, "history_length"],
  ["an unknown state", { status: 99 as TaskState }, "status"],
  ["a time out of range", { statusTimestampAfter: { seconds: 253_402_300_800n, nanos: 0 } }, "status_timestamp_after"],
  ["a context id of 257 bytes", { contextId: "x".repeat(257) }, "context_id"],
])("a list with %s is refused, the field named (R45)", async (_, query, field) => {
  const { manager } = await setup(obedient);
  await expect(list(manager, query)).rejects.toMatchObject({ reason: "INVALID_REQUEST", violations: [{ field }] });
});

it.each([1, 100])("a list with a page of %i isn't", async (pageSize) => {
  const { manager } = await setup(obedient);
  expect((await list(manager, { pageSize })).pageSize).toBe(pageSize);
});
