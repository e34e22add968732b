import { randomFillSync } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import type { Storage } from "../../../src/storage/storage.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { creation, progress, readWal, scope, taskKey } from "./fixtures.ts";

describe("group commit", () => {
  test("200 appends at once take a few commits", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using storage = await createSqliteStorage(file);
    const before = readWal(file).commits;
    const results = await Promise.all(
      Array.from({ length: 200 }, (_, i) => storage.appendTask(taskKey(`t${i}`), creation(`c${i}`))),
    );
    expect(results.map(({ outcome }) => outcome)).toEqual(Array(200).fill("committed"));
    expect(readWal(file).commits - before).toBeLessThanOrEqual(3);
  });

  test("appends of many tasks in turns share commits", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using storage = await createSqliteStorage(file);
    const before = readWal(file).commits;
    await Promise.all(
      Array.from({ length: 64 }, async (_, i) => {
        await storage.appendTask(taskKey(`t${i}`), creation(`c${i}`));
        for (let head = 2; head <= 10; head++) {
          await storage.appendTask(taskKey(`t${i}`), progress(head));
        }
      }),
    );
    // 640 appends; each task alone needs ten commits.
    expect(readWal(file).commits - before).toBeLessThanOrEqual(60);
  });
});

describe("the cost of an append", () => {
  test("doesn't depend on the size of the task, of its messages or of its summary", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using storage = await createSqliteStorage(file);
    const large = taskKey("large");
    const first = creation("large");
    const header = { ...first.header, summary: randomFillSync(new Uint8Array(1_000_000)) };
    await storage.appendTask(large, { ...first, header });
    await storage.appendTask(large, progress(2, new Uint8Array(4_000_000)));
    let head = 2;
    await Promise.all(
      Array.from({ length: 1000 }, () => {
        head += 1;
        return storage.appendTask(large, progress(head));
      }),
    );
    await storage.appendTask(taskKey("small"), creation("small"));
    const framesOf = async (taskId: string, next: number) => {
      const before = readWal(file).frames;
      expect((await storage.appendTask(taskKey(taskId), progress(next))).outcome).toBe("committed");
      return readWal(file).frames - before;
    };
    const small = await framesOf("small", 2);
    expect(await framesOf("large", head + 1)).toBeLessThanOrEqual(small + 2);
  });
});

describe("the event loop", () => {
  test("turns while appends are written all the time", async () => {
    await using storage = await createSqliteStorage(join(temporaryFolder(), "tasks.db"));
    const endMs = Date.now() + 1000;
    let appends = 0;
    const writers = Array.from({ length: 32 }, async (_, i) => {
      const key = taskKey(`t${i}`);
      await storage.appendTask(key, creation(`c${i}`, new Uint8Array(10_000)));
      for (let head = 2; Date.now() < endMs; head++) {
        await storage.appendTask(key, progress(head, new Uint8Array(10_000)));
        appends += 1;
      }
    });
    let turns = 0;
    while (Date.now() < endMs) {
      await setImmediate();
      turns += 1;
    }
    await Promise.all(writers);
    expect(appends).toBeGreaterThan(100);
    // A loop that waited for each commit would turn about once per commit: some hundred times.
    expect(turns).toBeGreaterThan(2000);
  });
});

describe("removing", () => {
  test("takes all rows away", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const storage = await createSqliteStorage(file);
    for (const context of ["deleted", "expired"]) {
      await fill(storage, context);
    }
    for (const taskId of ["task-of-deleted-1", "task-of-deleted-2"]) {
      await storage.appendTask(taskKey(taskId), ended(2));
    }
    await storage.deleteConversation(scope, "deleted");
    await storage.deleteTask(taskKey("task-of-expired-1"));
    await storage.appendTask(taskKey("task-of-expired-2"), ended(2));
    await setImmediate();
    await storage.claimMessage(scope, { messageId: "m", contentHash: "h", taskId: "t", windowMs: 0 });
    await expect.poll(() => storage.cleanupExpiredConversations(0)).toBe(1);
    await storage[Symbol.asyncDispose]();
    expect(countRows(file)).toEqual({ a2a_schema: 1 });
  });

  test("lets appends through while a large conversation goes", async () => {
    await using storage = await createSqliteStorage(join(temporaryFolder(), "tasks.db"), { maxHistoryLength: 10_000 });
    const large = taskKey("large");
    await storage.appendTask(large, creation("large"));
    await Promise.all(
      Array.from({ length: 20 }, (_, i) => storage.appendTask(large, progress(i + 2, new Uint8Array(3_000_000)))),
    );
    await storage.appendTask(large, ended(22));
    await storage.appendTask(taskKey("live"), creation("live"));
    let removed = false;
    const removing = storage.deleteConversation(scope, "large").then(() => {
      removed = true;
    });
    let appends = 0;
    for (let head = 2; !removed; head++) {
      await storage.appendTask(taskKey("live"), progress(head));
      expect(await storage.taskExists(large)).toBe(false);
      appends += 1;
    }
    await removing;
    expect(appends).toBeGreaterThan(5);
  });

  test("a crash between removing and taking the rows away leaves them to the next cleanup", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const first = await createSqliteStorage(file);
    await fill(first, "left");
    await first[Symbol.asyncDispose]();
    const db = new DatabaseSync(file);
    db.exec("UPDATE a2a_conversations SET key = NULL");
    db.close();
    const storage = await createSqliteStorage(file);
    expect(await storage.taskExists(taskKey("task-of-left-1"))).toBe(false);
    expect((await storage.listTasks({ scope, limit: 10 })).total).toBe(0);
    expect(await storage.cleanupExpiredConversations(3_600_000)).toBe(0);
    await storage[Symbol.asyncDispose]();
    expect(countRows(file)).toEqual({ a2a_schema: 1 });
  });

  async function fill(storage: Storage, context: string): Promise<void> {
    const claim = { messageId: `m-${context}`, contentHash: "hash", windowMs: 60_000 };
    for (const taskId of [`task-of-${context}-1`, `task-of-${context}-2`]) {
      const key = taskKey(taskId);
      const create = { contextId: context, claim: { ...claim, messageId: taskId, taskId } };
      await storage.appendTask(key, {
        ...creation(context),
        messages: [{ index: 0, messageId: taskId, timeMs: 1 }],
        create,
      });
      await storage.sendCommand(key, { id: "request", bytes: new Uint8Array(2) });
      await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array(3_000_000) });
    }
  }

  /** The number of rows of each table that has any. */
  function countRows(file: string): Readonly<Record<string, number>> {
    const db = new DatabaseSync(file);
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    const counts = tables.map(
      ({ name }) => [String(name), Number(db.prepare(`SELECT count(*) AS n FROM ${name}`).get()?.n)] as const,
    );
    db.close();
    return Object.fromEntries(counts.filter(([, count]) => count > 0));
  }
});

describe("opening", () => {
  test("makes the folder", async () => {
    const file = join(temporaryFolder(), "a", "b", "tasks.db");
    await using _storage = await createSqliteStorage(file);
    expect(existsSync(file)).toBe(true);
  });

  test.each([":memory:", ""])("refuses %j", async (file) => {
    await expect(createSqliteStorage(file)).rejects.toMatchObject({ name: "StorageError", code: "invalid" });
  });

  test("says of a file that is no database that it is none", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    writeFileSync(file, "This is a text and not a database, and it is longer than the header of one. ".repeat(20));
    await expect(createSqliteStorage(file)).rejects.toMatchObject({ name: "StorageError", code: "corrupt" });
  });

  test("says of a folder that it can't be opened", async () => {
    await expect(createSqliteStorage(temporaryFolder())).rejects.toMatchObject({
      name: "StorageError",
      code: "unavailable",
    });
  });

  test("a page that was overwritten is reported as damage, not as absence", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const first = await createSqliteStorage(file);
    await first.appendTask(taskKey("t"), creation("c", new Uint8Array(100_000)));
    await first[Symbol.asyncDispose]();
    const db = new DatabaseSync(file);
    const { page } = db.prepare("SELECT rootpage AS page FROM sqlite_schema WHERE name = 'a2a_segments'").get() as {
      page: number;
    };
    const { page_size: size } = db.prepare("PRAGMA page_size").get() as { page_size: number };
    db.close();
    const { open } = await import("node:fs/promises");
    const handle = await open(file, "r+");
    await handle.write(Buffer.alloc(size, 0xff), 0, size, (page - 1) * size);
    await handle.close();
    await using storage = await createSqliteStorage(file);
    await expect(storage.readTask(taskKey("t"), 0n, 1)).rejects.toMatchObject({
      name: "StorageError",
      code: "corrupt",
    });
  });

  test("its tables have the names that those of the Go package had", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using _storage = await createSqliteStorage(file);
    using db = new DatabaseSync(file, { readOnly: true });
    const tables = db.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").all();
    expect(tables.map(({ name }) => name)).toEqual(
      expect.arrayContaining(["a2a_messages", "a2a_conversations", "a2a_tasks", "a2a_push_notifications"]),
    );
  });

  test("two storages with different prefixes share a file and nothing else", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using one = await createSqliteStorage(file, { prefix: "one_" });
    await using two = await createSqliteStorage(file, { prefix: "two_" });
    await one.appendTask(taskKey("t"), creation("c"));
    expect(await two.taskExists(taskKey("t"))).toBe(false);
  });
});

describe("closing", () => {
  test("finishes what was begun, and refuses what comes later", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const first = await createSqliteStorage(file);
    const begun = Array.from({ length: 100 }, (_, i) => first.appendTask(taskKey(`t${i}`), creation("c")));
    const closed = first[Symbol.asyncDispose]();
    await expect(first.taskExists(taskKey("t0"))).rejects.toMatchObject({ code: "closed" });
    await closed;
    expect((await Promise.all(begun)).map(({ outcome }) => outcome)).toEqual(Array(100).fill("committed"));
    expect(existsSync(`${file}-wal`)).toBe(false);
    await using storage = await createSqliteStorage(file);
    expect((await storage.listTasks({ scope, limit: 1 })).total).toBe(100);
  });
});

/** The append that completes a task. */
function ended(head: number): ReturnType<typeof progress> {
  const append = progress(head);
  return { ...append, header: { ...append.header, state: 3 } };
}
