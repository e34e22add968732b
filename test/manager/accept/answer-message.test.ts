import { describe, expect, it } from "vitest";
import { Role } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { MessageContext } from "../../../src/agent/message-processor.ts";
import { inputRequired } from "../../../src/agent/processor-events.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import {
  answering,
  expectRefused,
  isSettledNow,
  message,
  messageIn,
  request,
  ScriptedAgent,
  sent,
  setup,
  stateOf,
} from "../fixtures.ts";

describe("answerMessage", () => {
  it("answers with a bare message: context, no task, and both messages in the conversation (R16, R72, R83)", async () => {
    const { manager } = await setup(answering(async ({ message: asked }) => ({ parts: asked.parts })));
    const answer = messageIn(await manager.sendMessage(request("hello")));
    expect([answer.role, answer.taskId, answer.contextId !== "", answer.messageId !== ""]).toEqual([
      Role.AGENT,
      "",
      true,
      true,
    ]);
    const { totalMessages } = await manager.conversations.stats({ tenant: "", owner: "" });
    expect(totalMessages).toBe(2);
  });

  it("answers with the same bare message whatever return_immediately says (R20)", async () => {
    const { manager } = await setup(answering(async ({ message: asked }) => ({ parts: asked.parts })));
    for (const now of [false, true]) {
      const answer = messageIn(await manager.sendMessage(request("hello", { now })));
      expect([answer.taskId, answer.parts[0]?.content.value]).toEqual(["", "hello"]);
    }
  });

  it("makes a task when it has no answer", async () => {
    const { manager } = await setup(answering(async () => undefined));
    expect(stateOf(await sent(manager, "hello"))).toBe("COMPLETED");
  });

  it("isn't asked about a message to a task (R31)", async () => {
    let asked = 0;
    const scripted = new ScriptedAgent();
    const { manager } = await setup({
      processMessage: (context) => scripted.processMessage(context),
      answerMessage: async () => {
        asked++;
        return undefined;
      },
    });
    const first = sent(manager, "one");
    await (await scripted.turn()).yield(inputRequired("?"));
    const { id } = await first;
    (await scripted.turn()).return();
    const second = sent(manager, message("two", { taskId: id }));
    (await scripted.turn(1)).return();
    await second;
    expect(asked).toBe(1);
  });

  it("has 10 s: then its signal is aborted, the send refused, and nothing stored", async () => {
    let reason: unknown;
    const { manager, clock } = await setup(
      answering(
        ({ signal }) =>
          new Promise(() => {
            signal.addEventListener("abort", () => {
              reason = signal.reason;
            });
          }),
      ),
    );
    const answer = manager.sendMessage(request("hello"));
    answer.catch(() => undefined);
    await clock.advance(9_999);
    expect(await isSettledNow(answer)).toBe(false);
    await clock.advance(1);
    await expectRefused(answer, "INVALID_AGENT_RESPONSE");
    expect([
      reason,
      (await manager.conversations.stats({ tenant: "", owner: "" })).totalMessages,
      clock.nextInMs === undefined,
    ]).toEqual(["timed-out", 0, false]);
  });

  it.each([
    ["throws", async () => Promise.reject(new Error("secret")), "INVALID_AGENT_RESPONSE"],
    [
      "throws in the call itself",
      () => {
        throw new Error("secret");
      },
      "INVALID_AGENT_RESPONSE",
    ],
    [
      "throws what reads like a refusal of ours",
      async () => Promise.reject(new TaskError("TASK_NOT_FOUND", "secret")),
      "INVALID_AGENT_RESPONSE",
    ],
    [
      "asks for a history that can't be",
      ({ history }: MessageContext) => history(0).then(() => undefined),
      "INVALID_AGENT_RESPONSE",
    ],
    ["answers without parts", async () => ({ parts: [] }), "INVALID_AGENT_RESPONSE"],
    [
      "answers with more than an event may have",
      async () => ({ parts: [{ content: { case: "text" as const, value: "x".repeat(5000) } }] }),
      "INVALID_AGENT_RESPONSE",
    ],
  ] as const)("%s: the send is refused as the agent's fault, and its words stay inside", async (_, answer, reason) => {
    const { manager, lines } = await setup(answering(answer), { options: { maxEventBytes: 4096 } });
    const error = await manager.sendMessage(request("hello")).catch((thrown: unknown) => thrown as Error);
    expect(error).toMatchObject({ reason });
    expect(String(error)).not.toContain("secret");
    expect(lines.filter(({ level }) => level === "error")).toHaveLength(1);
    expect((await manager.conversations.stats({ tenant: "", owner: "" })).totalMessages).toBe(0);
  });

  it("whose reading of the history fails with the storage is no fault of the agent: later it may not", async () => {
    const { manager, faulty } = await setup(answering(({ history }) => history().then(() => undefined)));
    faulty.fail({ methods: "listMessagesByContextId", fault: "unavailable", times: 1 });
    const once = message("hello");
    await expectRefused(manager.sendMessage(request(once)), "UNAVAILABLE");
    expect(stateOf(await sent(manager, once))).toBe("COMPLETED");
  });
});
