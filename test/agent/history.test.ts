import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { MessageProcessor } from "../../src/agent/message-processor.ts";
import { completed, inputRequired, textOf } from "../../src/agent/processor-events.ts";
import { createTaskManager, type TaskManager } from "../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { createSqliteStorage } from "../../src/storage/sqlite/storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { begun, message, sent, textsOf } from "../manager/fixtures.ts";
import { eventually } from "../runner/eventually.ts";
import { openMongo } from "../storage/mongodb/fixtures.ts";
import { temporaryFolder } from "../storage/temporary-folder.ts";

const storages: readonly { readonly name: string; open(): Storage | Promise<Storage> }[] = [
  { name: "memory", open: () => createMemoryStorage() },
  { name: "SQLite", open: () => createSqliteStorage(join(temporaryFolder(), "tasks.db")) },
  { name: "MongoDB", open: () => openMongo() },
];

/** What a turn saw: the whole history and the newest message alone, read before it does anything else. */
interface Seen {
  readonly all: readonly string[];
  readonly newest: readonly string[];
}

/** Notes what each turn sees. A turn on "ask …" asks, one on "wait …" waits for its end, any other completes. */
class Reader implements MessageProcessor {
  readonly onLost = "resume";
  readonly seen: Seen[] = [];
  /** Ends the turns that wait. */
  readonly go = Promise.withResolvers<void>();

  async *processMessage({ history, message, signal }: Parameters<MessageProcessor["processMessage"]>[0]) {
    const [all, newest] = await Promise.all([history(), history(1)]);
    this.seen.push({ all: textsOf(all), newest: textsOf(newest) });
    const text = textOf(message);
    if (text.startsWith("ask")) yield inputRequired(`re ${text}`);
    else if (text.startsWith("wait")) {
      const aborted = new Promise<never>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
      await Promise.race([this.go.promise, aborted]);
      yield completed(`re ${text}`);
    } else yield completed(`re ${text}`);
  }
}

async function managerOver(storage: Storage, reader: MessageProcessor): Promise<TaskManager> {
  const manager = await createTaskManager(reader, storage);
  onTestFinished(() => manager[Symbol.asyncDispose]());
  return manager;
}

describe.each(storages)("the history that a turn reads first of all, on $name,", ({ open }) => {
  async function opened(): Promise<Storage> {
    const storage = await open();
    onTestFinished(() => storage[Symbol.asyncDispose]());
    return storage;
  }

  test("has the message of a first turn, after those of the conversation's other tasks", async () => {
    const reader = new Reader();
    const manager = await managerOver(await opened(), reader);
    await sent(manager, message("one", { contextId: "c" }));
    await sent(manager, message("two", { contextId: "c" }));
    expect(reader.seen).toEqual([
      { all: ["one"], newest: ["one"] },
      { all: ["one", "re one", "two"], newest: ["two"] },
    ]);
  });

  test("has the message of a follow-up, in each of twelve turns", async () => {
    const reader = new Reader();
    const manager = await managerOver(await opened(), reader);
    const { id: taskId } = await sent(manager, "ask 0");
    const expected = ["ask 0"];
    const seen = [{ all: [...expected], newest: ["ask 0"] }];
    for (let turn = 1; turn <= 12; turn++) {
      await sent(manager, message(`ask ${turn}`, { taskId }));
      expected.push(`re ask ${turn - 1}`, `ask ${turn}`);
      seen.push({ all: [...expected], newest: [`ask ${turn}`] });
    }
    expect(reader.seen).toEqual(seen);
  });

  test("has the messages that waited for their turn", async () => {
    const reader = new Reader();
    const manager = await managerOver(await opened(), reader);
    const { id: taskId } = await begun(manager, "wait");
    await eventually("the turn has read its history", () => reader.seen.length === 1);
    const queued = ["two", "three"].map((text) => sent(manager, message(text, { taskId })));
    await eventually("both wait", async () => (await manager.getTask(taskId)).task.history.length === 3);
    reader.go.resolve();
    await Promise.all(queued);
    const waited = ["wait", "two", "three"];
    expect(reader.seen).toEqual([
      { all: ["wait"], newest: ["wait"] },
      { all: [...waited, "re wait"], newest: ["re wait"] },
      { all: [...waited, "re wait", "re two"], newest: ["re two"] },
    ]);
  });

  test("has the message of a turn that runs again on another server", async () => {
    const storage = await opened();
    const lost = new Reader();
    const before = await managerOver(storage, lost);
    const { id: taskId } = await sent(before, "ask");
    await begun(before, message("wait", { taskId }));
    await eventually("the turn has read its history", () => lost.seen.length === 2);
    await before[Symbol.asyncDispose]();
    const reader = new Reader();
    reader.go.resolve();
    await managerOver(storage, reader);
    await eventually("the turn runs again", () => reader.seen.length === 1);
    expect(reader.seen).toEqual([{ all: ["ask", "re ask", "wait"], newest: ["wait"] }]);
  });
});
