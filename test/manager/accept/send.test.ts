import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { PartSchema, Role } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  artifact,
  authRequired,
  completed,
  failed,
  inputRequired,
  rejected,
  working,
} from "../../../src/agent/processor-events.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  agent,
  begun,
  callerOf,
  isSettledNow,
  message,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
  statusText,
  taskIn,
  textsOf,
} from "../fixtures.ts";

const echo = agent(async function* (context) {
  yield artifact({ artifactId: "a", parts: context.message.parts });
});

describe("a blocking send", () => {
  it.each([
    ["COMPLETED", completed("done")],
    ["FAILED", failed("done")],
    ["REJECTED", rejected("done")],
    ["INPUT_REQUIRED", inputRequired("done")],
    ["AUTH_REQUIRED", authRequired("done")],
  ])("waits until the task is %s, and shows its status and artifacts (R17, R18)", async (state, last) => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const answer = sent(manager, "go");
    const turn = await scripted.turn();
    await turn.yield(working("on it"));
    await turn.yield(artifact({ artifactId: "a", parts: [{ content: { case: "text", value: "result" } }] }));
    expect(await isSettledNow(answer)).toBe(false);
    await turn.yield(last);
    const task = await answer;
    expect([stateOf(task), statusText(task), task.artifacts.length]).toEqual([state, "done", 1]);
    turn.return();
  });

  it("completes a turn that returns, without a message of its own", async () => {
    const { manager } = await setup(echo);
    const task = await sent(manager, "hello");
    expect([stateOf(task), task.status?.message, task.status?.timestamp !== undefined]).toEqual([
      "COMPLETED",
      undefined,
      true,
    ]);
  });

  it("returns at once with return_immediately, in progress, and the work goes on (R19)", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const task = await begun(manager, "go");
    expect(["SUBMITTED", "WORKING"]).toContain(stateOf(task));
    (await scripted.turn()).return();
    await settle();
    expect(stateOf((await manager.getTask(task.id)).task)).toBe("COMPLETED");
  });

  it("ends with the caller's signal, and leaves the task alone", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const abort = new AbortController();
    const answer = manager.sendMessage(request("go"), undefined, { signal: abort.signal });
    const turn = await scripted.turn();
    abort.abort(new Error("deadline"));
    await expect(answer).rejects.toThrow("deadline");
    expect(turn.told).toBeUndefined();
    turn.return();
    await settle();
    expect(stateOf((await manager.getTask(turn.context.taskId)).task)).toBe("COMPLETED");
  });
});

describe("ids", () => {
  it("makes a task id and a context id, and puts them into task and history (R71, R72, R76, R83)", async () => {
    const { manager } = await setup(echo);
    const [first, second] = [await sent(manager, "one"), await sent(manager, "two")];
    expect(new Set([first.id, second.id, first.contextId, second.contextId]).size).toBe(4);
    expect(first.history.map(({ taskId, contextId }) => [taskId, contextId])).toEqual([[first.id, first.contextId]]);
  });

  it("keeps a client's context id, for several tasks at once (R73, R80)", async () => {
    const { manager } = await setup(echo);
    const tasks = await Promise.all(["one", "two"].map((text) => sent(manager, message(text, { contextId: "ctx" }))));
    expect(tasks.map(({ contextId }) => contextId)).toEqual(["ctx", "ctx"]);
    expect(tasks[0]?.id).not.toBe(tasks[1]?.id);
  });

  it("doesn't see another owner's context under the same id", async () => {
    const histories: number[] = [];
    const { manager } = await setup(silent(async (context) => histories.push((await context.history()).length)));
    await sent(manager, message("mine", { contextId: "ctx" }), callerOf("t", "a"));
    await sent(manager, message("theirs", { contextId: "ctx" }), callerOf("t", "b"));
    expect(histories).toEqual([1, 1]);
  });
});

describe("history_length", () => {
  async function threeMessages(manager: TaskManager, scripted: ScriptedAgent) {
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    await turn.yield(inputRequired("two?"));
    turn.return();
    const { id } = await first;
    return id;
  }

  it.each([
    ["unset", undefined, ["one", "two?", "three"]],
    ["0", 0, []],
    ["1", 1, ["three"]],
    ["2", 2, ["two?", "three"]],
    ["larger than the history", 99, ["one", "two?", "three"]],
  ])("%s gives the newest so many, oldest first, in an answer, a stream's task and GetTask (R27, R62–R64)", async (_, historyLength, texts) => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const id = await threeMessages(manager, scripted);
    const configuration = historyLength === undefined ? {} : { historyLength };
    const third = request(message("three", { taskId: id }), { configuration });
    const answer = manager.sendMessage(third);
    (await scripted.turn(1)).return();
    expect(textsOf(taskIn(await answer).history)).toEqual(texts);
    // The same message again: its stream begins with the task.
    for await (const { payload } of manager.sendStreamingMessage(third))
      expect(payload.case === "task" && textsOf(payload.value.history)).toEqual(texts);
    const view = historyLength === undefined ? undefined : { historyLength };
    expect(textsOf((await manager.getTask(id, undefined, view)).task.history)).toEqual(texts);
  });
});

describe("a refused send stores nothing and runs nothing", () => {
  const part = create(PartSchema, { content: { case: "text", value: "x" } });
  const cases: readonly [string, Parameters<typeof request>, string, string?][] = [
    ["no message id", [message("x", { messageId: "" })], "INVALID_REQUEST", "message.message_id"],
    ["no parts", [message("x", { parts: [] })], "INVALID_REQUEST", "message.parts"],
    ["a part without content", [message("x", { parts: [{}] })], "INVALID_REQUEST", "message.parts[0].content"],
    ["role unspecified", [message("x", { role: Role.UNSPECIFIED })], "INVALID_REQUEST", "message.role"],
    ["role agent", [message("x", { role: Role.AGENT })], "INVALID_REQUEST", "message.role"],
    [
      "a negative history_length",
      [message("x"), { configuration: { historyLength: -1 } }],
      "INVALID_REQUEST",
      "configuration.history_length",
    ],
    ["an id of 257 bytes", [message("x", { messageId: "é".repeat(129) })], "INVALID_REQUEST", "message.message_id"],
    [
      "a context id of 257 bytes",
      [message("x", { contextId: "x".repeat(257) })],
      "INVALID_REQUEST",
      "message.context_id",
    ],
    ["an unknown task", [message("x", { taskId: "nope" })], "TASK_NOT_FOUND"],
    [
      "a push notification config",
      [message("x"), { configuration: { taskPushNotificationConfig: { url: "https://example.com" } } }],
      "PUSH_NOTIFICATION_NOT_SUPPORTED",
    ],
    [
      "a media type that the card doesn't name (R24)",
      [message("x", { parts: [{ ...part, mediaType: "image/png" }] })],
      "CONTENT_TYPE_NOT_SUPPORTED",
    ],
    ["a message that is too large", [message("x".repeat(5000))], "TOO_LARGE"],
    [
      "a message that is too large with its request's metadata",
      [message("x"), { metadata: { a: "x".repeat(5000) } }],
      "TOO_LARGE",
    ],
    [
      "or with the output modes it accepts",
      [message("x"), { configuration: { acceptedOutputModes: ["x".repeat(5000)] } }],
      "TOO_LARGE",
    ],
  ];

  it.each(cases)("%s", async (_, args, reason, field) => {
    const scripted = new ScriptedAgent();
    const card = { defaultInputModes: ["text/plain"], skills: [] };
    const { manager, faulty } = await setup(
      { processMessage: (context) => scripted.processMessage(context), card },
      { options: { maxEventBytes: 4096 } },
    );
    const violations = field === undefined ? [] : [expect.objectContaining({ field })];
    const error = expect.objectContaining({ reason, violations });
    await expect(manager.sendMessage(request(...args))).rejects.toEqual(error);
    await expect(
      manager
        .sendStreamingMessage(request(...args))
        [Symbol.asyncIterator]()
        .next(),
    ).rejects.toEqual(error);
    expect(await faulty.storage.getConversationStats()).toMatchObject({ totalConversations: 0, totalMessages: 0 });
    expect(faulty.callsOf("appendTask").length + faulty.callsOf("claimMessage").length).toBe(0);
    expect(scripted.turns).toHaveLength(0);
  });

  it("names every fault at once (R5)", async () => {
    const { manager } = await setup(echo);
    const bad = request(message("x", { messageId: "", parts: [] }), { configuration: { historyLength: -1 } });
    const error = await manager.sendMessage(bad).catch((thrown: unknown) => thrown);
    expect((error as { violations: { field: string }[] }).violations.map(({ field }) => field).sort()).toEqual([
      "configuration.history_length",
      "message.message_id",
      "message.parts",
    ]);
  });

  it("takes everything for an agent that names no modes but a skill's, as its published card says (R24)", async () => {
    const skills = [{ id: "s", name: "s", description: "s", tags: ["t"], inputModes: ["image/png"] }];
    const card = { name: "N", description: "D", skills };
    const { manager } = await setup({ ...echo, card });
    expect(stateOf(await sent(manager, message("x", { parts: [{ ...part, mediaType: "text/plain" }] })))).toBe(
      "COMPLETED",
    );
  });

  it("takes a part without a media type, a supported one with parameters, and one of a skill", async () => {
    const card = {
      defaultInputModes: ["text/*"],
      skills: [{ id: "s", name: "s", description: "s", tags: [], inputModes: ["image/png"] }],
    };
    const { manager } = await setup({ ...echo, card });
    const parts = ["", "TEXT/plain; charset=utf-8", "image/png"].map((mediaType) => ({ ...part, mediaType }));
    expect(stateOf(await sent(manager, message("x", { parts })))).toBe("COMPLETED");
  });
});
