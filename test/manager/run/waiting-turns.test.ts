import { create } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { Role, SendMessageRequestSchema, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { authRequired, completed } from "../../../src/agent/processor-events.ts";
import { createTaskManager } from "../../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";
import { taskIn } from "../fixtures.ts";

const request = () =>
  create(SendMessageRequestSchema, {
    message: { messageId: crypto.randomUUID(), role: Role.USER, parts: [{ content: { case: "text", value: "x" } }] },
  });

test("a turn that waits for a credential isn't idle, and goes on when it comes (R87)", async () => {
  const clock = new ManualClock();
  await using storage = createMemoryStorage();
  const credential = Promise.withResolvers<void>();
  const processor = {
    async *processMessage() {
      yield authRequired("sign in");
      await credential.promise;
      yield completed();
    },
  };
  await using manager = await createTaskManager(processor, storage, { turnIdleTimeoutMs: 1_000 }, { clock });
  const { id, status } = taskIn(await manager.sendMessage(request()));
  expect(status?.state).toBe(TaskState.AUTH_REQUIRED);
  await clock.advance(100_000);
  expect((await manager.getTask(id)).task.status?.state).toBe(TaskState.AUTH_REQUIRED);
  credential.resolve();
  await clock.advance(1);
  expect((await manager.getTask(id)).task.status?.state).toBe(TaskState.COMPLETED);
});

test("a history of less than nothing is refused (R65)", async () => {
  await using storage = createMemoryStorage();
  await using manager = await createTaskManager({ async *processMessage() {} }, storage);
  const { id } = taskIn(await manager.sendMessage(request()));
  await expect(manager.getTask(id, undefined, { historyLength: -1 })).rejects.toMatchObject({
    reason: "INVALID_REQUEST",
  });
  expect((await manager.getTask(id, undefined, { historyLength: 0 })).task.history).toEqual([]);
});
