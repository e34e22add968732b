import { toBinary } from "@bufbuild/protobuf";
import { expect, it, vi } from "vitest";
import { type Message, MessageSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { contentHash } from "../../../src/manager/accept/content-hash.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { answering, collected, message, messageIn, request, setup, silent } from "../fixtures.ts";

const anonymous = { tenant: "", owner: "" };

it("a bare answer is given again, the same one; the agent is asked once", async () => {
  const gate = Promise.withResolvers<void>();
  const asked = vi.fn(async () => {
    await gate.promise;
    return { parts: [{ content: { case: "text" as const, value: `answer ${asked.mock.calls.length}` } }] };
  });
  const { manager } = await setup(answering(asked));
  const once = message("go");
  const send = async (content: Message) => messageIn(await manager.sendMessage(request(content)));
  const together = [send(once), send(once)];
  const stream = collected(manager.sendStreamingMessage(request(once)));
  await settle();
  gate.resolve();
  const [first] = await Promise.all(together);
  expect(await Promise.all([...together, send(once)])).toEqual([first, first, first]);
  expect([await stream, asked.mock.calls.length, (await manager.conversations.stats(anonymous)).totalMessages]).toEqual(
    [["message:answer 1"], 1, 2],
  );
});

it.each([
  ["a task", silent(async () => {}), "task"],
  ["an answer", answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] })), "message"],
  ["a task after being asked", answering(async () => undefined), "task"],
])("an answer or task that its first sender never got to make is made by the next one, under the id that was promised: %s", async (_, processor, kind) => {
  const { manager, faulty } = await setup(processor);
  const once = message("go");
  await faulty.storage.claimMessage(anonymous, {
    messageId: once.messageId,
    contentHash: contentHash(once, toBinary(MessageSchema, once)),
    taskId: "promised",
    windowMs: 60_000,
  });
  const sent = await manager.sendMessage(request(once));
  expect([sent.kind, sent.kind === "task" ? sent.task.id : "promised"]).toEqual([kind, "promised"]);
  expect(await manager.sendMessage(request(once))).toEqual(sent);
});
