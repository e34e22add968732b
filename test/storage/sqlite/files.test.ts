import { existsSync, renameSync, rmSync, writeFileSync } from "node:fs";
import { hostname } from "node:os";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { openWriter } from "../../../src/storage/sqlite/thread/connection.ts";
import { createContext } from "../../../src/storage/sqlite/thread/context.ts";
import { createGroupWriter } from "../../../src/storage/sqlite/thread/group-writer.ts";
import { StorageError } from "../../../src/storage/storage-error.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { creation, progress, scope, taskKey } from "./fixtures.ts";

describe("the lock", () => {
  test("refuses a second storage on the file and names the process that holds it", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const first = await createSqliteStorage(file);
    await expect(createSqliteStorage(file)).rejects.toMatchObject({
      name: "StorageError",
      code: "unavailable",
      message: expect.stringContaining(`"${file}" is in use by process ${process.pid} on host "${hostname()}" since 2`),
    });
    // The refusal has let go of nothing that the first one holds.
    await expect(createSqliteStorage(file)).rejects.toMatchObject({ code: "unavailable" });
    await first.appendTask(taskKey("t"), creation("c"));
    await first[Symbol.asyncDispose]();
    await using second = await createSqliteStorage(file);
    expect(await second.taskExists(taskKey("t"))).toBe(true);
  });

  test("is released when a storage can't be opened", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    writeFileSync(file, "This is a text and not a database, and it is longer than the header of one. ".repeat(20));
    await expect(createSqliteStorage(file)).rejects.toMatchObject({ code: "corrupt" });
    rmSync(file);
    await using storage = await createSqliteStorage(file);
    await storage.heartbeat("r");
  });
});

describe("a file that goes away under its storage", () => {
  const ways: readonly { readonly name: string; readonly suffix: string; readonly act: (path: string) => void }[] = [
    { name: "the database, removed", suffix: "", act: (path) => rmSync(path) },
    { name: "the database, replaced", suffix: "", act: (path) => replace(path) },
    { name: "the write-ahead log, removed", suffix: "-wal", act: (path) => rmSync(path) },
    { name: "the lock, removed", suffix: "-a2a_lock", act: (path) => rmSync(path) },
  ];

  test.each(ways)("every call is refused at once: $name", async ({ suffix, act }) => {
    const file = join(temporaryFolder(), "tasks.db");
    await using storage = await createSqliteStorage(file);
    await storage.appendTask(taskKey("t"), creation("c"));
    act(`${file}${suffix}`);
    const lost = { name: "StorageError", code: "lost", outcome: "none", message: expect.stringContaining(file) };
    await expect(storage.appendTask(taskKey("t"), progress(2))).rejects.toMatchObject(lost);
    await expect(storage.heartbeat("r")).rejects.toMatchObject(lost);
    await expect(storage.getTask(taskKey("t"))).rejects.toMatchObject(lost);
    await expect(storage.listTasks({ scope, limit: 1 })).rejects.toMatchObject(lost);
  });

  test("calls succeed again, with all that was acknowledged, once the file is back", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    await using storage = await createSqliteStorage(file);
    await storage.appendTask(taskKey("t"), creation("c"));
    renameSync(file, `${file}-away`);
    await expect(storage.appendTask(taskKey("t"), progress(2))).rejects.toMatchObject({ code: "lost" });
    renameSync(`${file}-away`, file);
    expect((await storage.appendTask(taskKey("t"), progress(2))).outcome).toBe("committed");
    expect((await storage.getTask(taskKey("t")))?.head).toBe(2n);
  });

  test("a call that was committed to a file which went away meanwhile is not acknowledged", () => {
    const file = join(temporaryFolder(), "tasks.db");
    const db = openWriter(file, "a2a_");
    let looks = 0;
    const write = createGroupWriter(createContext(db, { prefix: "a2a_", maxHistoryLength: 100 }), file, () => {
      looks += 1;
      if (looks === 2) throw new StorageError("lost", "Removed between the two looks");
    });
    const register = (replica: string) => write([{ id: 1, name: "register", args: { replica }, bytes: 0 }]);
    expect(register("a")).toEqual([{ id: 1, error: expect.objectContaining({ code: "lost", outcome: "unknown" }) }]);
    expect(register("b")).toEqual([{ id: 1, value: undefined }]);
    db.close();
  });

  test("the file that took its place is left alone", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const storage = await createSqliteStorage(file);
    replace(file);
    await expect(storage.heartbeat("r")).rejects.toMatchObject({ code: "lost" });
    await storage[Symbol.asyncDispose]();
    expect(existsSync(file)).toBe(true);
  });

  function replace(path: string): void {
    // The old file lives on under another name, so its number is not given away again.
    renameSync(path, `${path}-old`);
    writeFileSync(path, "another file");
  }
});
