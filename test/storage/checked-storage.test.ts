import { describe, expect, test } from "vitest";
import { checkStorageOptions } from "../../src/storage/check-arguments.ts";
import { checkedStorage } from "../../src/storage/checked-storage.ts";
import type { StorageEngine } from "../../src/storage/storage-engine.ts";

const scope = { tenant: "tenant", owner: "owner" };
const key = { ...scope, taskId: "task" };

/** An engine that records its calls and returns the given results. */
function recordingEngine(results: Readonly<Record<string, unknown>> = {}) {
  const calls: unknown[][] = [];
  const engine = {
    traits: { durable: false, shared: false, expiry: "sweep", wakeUps: "local" },
    setRetention: (retention: unknown) => void calls.push(["setRetention", retention]),
    call(name: string, args: unknown) {
      calls.push([name, args]);
      return results[name];
    },
    watch: () => ({ async [Symbol.asyncDispose]() {} }),
    wake: (replicas: unknown, keys: unknown) => void calls.push(["wake", replicas, keys]),
    async [Symbol.asyncDispose]() {
      calls.push(["dispose"]);
    },
  };
  return { calls, storage: checkedStorage(engine as unknown as StorageEngine) };
}

describe("a storage over an engine", () => {
  test("passes keys on without further members", async () => {
    const { calls, storage } = recordingEngine({ taskExists: true });
    const more = { ...key, callback: () => {} };
    await storage.taskExists(more);
    await storage.getTask(more);
    await storage.getConversation(more, "context");
    await storage.getConversationStats(more);
    await storage.wake(["replica"], [more]);
    expect(calls).toEqual([
      ["taskExists", { key }],
      ["getTask", { key, snapshotLogBytesMax: -1 }],
      ["getConversation", { scope, contextId: "context" }],
      ["getConversationStats", { scope }],
      ["wake", ["replica"], [key]],
    ]);
  });

  test("calls the engine neither with invalid arguments nor after the end, and ends it once", async () => {
    const { calls, storage } = recordingEngine();
    await expect(storage.getMessages({ ...scope, tenant: "x".repeat(300) }, [])).rejects.toMatchObject({
      code: "invalid",
    });
    await Promise.all([storage[Symbol.asyncDispose](), storage[Symbol.asyncDispose]()]);
    await expect(storage.taskExists(key)).rejects.toMatchObject({ code: "closed", outcome: "none" });
    await storage[Symbol.asyncDispose]();
    expect(calls).toEqual([["dispose"]]);
  });

  test("turns -1 into no limit", async () => {
    const { calls, storage } = recordingEngine({ listMessages: [] });
    await storage.listMessagesByContextId(scope, "context", -1);
    await storage.listMessagesByContextId(scope, "context", 0);
    expect(calls).toEqual([
      ["listMessages", { scope, contextId: "context", limit: undefined }],
      ["listMessages", { scope, contextId: "context", limit: 0 }],
    ]);
  });

  test("reports a config of a task that doesn't exist as missing", async () => {
    const { storage } = recordingEngine({ storePushNotification: false });
    const config = { $typeName: "lf.a2a.v1.TaskPushNotificationConfig", id: "config" } as never;
    await expect(storage.storePushNotification(key, config)).rejects.toMatchObject({ code: "missing" });
  });

  test("reports bytes that can't be decoded as corrupt", async () => {
    const bytes = new Uint8Array([0xff]);
    const stored = { contextId: "context", taskId: "task", bytes };
    const claim = { messageId: "m", contentHash: "hash", taskId: "task", windowMs: 1 };
    const { storage } = recordingEngine({
      getMessages: [{ ...stored, isEntry: false }],
      listMessages: [{ ...stored, isEntry: true }],
      claimMessage: { outcome: "duplicate", taskId: "task", answer: bytes },
      listPushNotifications: [bytes],
    });
    const calls = [
      storage.getMessage(scope, "m"),
      storage.listMessagesByContextId(scope, "context"),
      storage.claimMessage(scope, claim),
      storage.listPushNotifications(key),
    ];
    expect(await Promise.allSettled(calls)).toEqual(
      calls.map(() => ({ status: "rejected", reason: expect.objectContaining({ code: "corrupt" }) })),
    );
  });
});

test.for([
  { name: "a history of no messages", options: { maxHistoryLength: 0 } },
  { name: "a history of half a message", options: { maxHistoryLength: 0.5 } },
  { name: "a prefix with another character", options: { prefix: "a-" } },
  { name: "a prefix of 33 characters", options: { prefix: "a".repeat(33) } },
])("the options of a storage are invalid with $name", ({ options }) => {
  expect(() => checkStorageOptions(options)).toThrow(expect.objectContaining({ code: "invalid" }));
});
