import { Worker } from "node:worker_threads";
import { describe, expect, test } from "vitest";
import { SqliteChannel } from "../../../src/storage/sqlite/thread/channel.ts";
import type { ReaderOperations, WriterOperations } from "../../../src/storage/sqlite/thread/operations.ts";

/** Channels to workers that don't do what the real one does. */
describe("a channel", () => {
  test.each([
    { name: "ends", code: "process.exit(3)" },
    { name: "throws", code: "throw new Error('Out of order')" },
  ])("to a writer that $name rejects what waits as unknown, and all that comes later", async ({ code }) => {
    const channel = new SqliteChannel<WriterOperations>(worker(code), "writer");
    const waiting = [channel.call("heartbeat", { replica: "r" }), channel.call("heartbeat", { replica: "r" })];
    for (const call of waiting) {
      await expect(call).rejects.toMatchObject({ name: "StorageError", code: "unavailable", outcome: "unknown" });
    }
    await expect(channel.call("heartbeat", { replica: "r" })).rejects.toMatchObject({
      code: "unavailable",
      outcome: "none",
    });
    await channel.close();
  });

  test("to a reader that ends rejects what waits: nothing changed", async () => {
    const channel = new SqliteChannel<ReaderOperations>(worker("process.exit(3)"), "reader");
    await expect(channel.call("listReplicas", {})).rejects.toMatchObject({ code: "unavailable", outcome: "none" });
    await channel.close();
  });

  test("refuses more operations than its queue holds", async () => {
    const silent = worker("");
    const channel = new SqliteChannel<WriterOperations>(silent, "writer");
    const waiting = Promise.allSettled(
      Array.from({ length: 20_000 }, () => channel.call("heartbeat", { replica: "r" })),
    );
    await expect(channel.call("heartbeat", { replica: "r" })).rejects.toMatchObject({
      code: "unavailable",
      outcome: "none",
    });
    await silent.terminate();
    expect((await waiting).map(({ status }) => status)).toEqual(Array(20_000).fill("rejected"));
  });

  test("refuses more bytes than its queue holds", async () => {
    const silent = worker("");
    const channel = new SqliteChannel<WriterOperations>(silent, "writer");
    const megabytes = (count: number) => channel.call("heartbeat", { replica: "r" }, { bytes: count * 1024 * 1024 });
    const waiting = Promise.allSettled([megabytes(200), megabytes(56)]);
    await expect(megabytes(1)).rejects.toMatchObject({ code: "unavailable", outcome: "none" });
    await silent.terminate();
    await waiting;
  });

  test("rejects what can't be cloned, and goes on", async () => {
    const channel = new SqliteChannel<WriterOperations>(worker("answer(calls)"), "writer");
    const replica = (() => undefined) as unknown as string;
    await expect(channel.call("heartbeat", { replica })).rejects.toThrow("could not be cloned");
    await expect(channel.call("heartbeat", { replica: "r" })).resolves.toBe("answered");
    await channel.close();
  });

  function worker(code: string): Worker {
    return new Worker(
      `const { parentPort } = require("node:worker_threads");
      const answer = (calls) => parentPort.postMessage(calls.map(({ id }) => ({ id, value: "answered" })));
      parentPort.on("message", (calls) => { if (calls === "close") { parentPort.close(); } else { ${code} } });`,
      { eval: true },
    );
  }
});
