import { statSync } from "node:fs";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, onTestFinished, test, vi } from "vitest";
import { freePagesKept, pagesGivenBackMax } from "../../../src/storage/sqlite/limits.ts";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { openWriter } from "../../../src/storage/sqlite/thread/connection.ts";
import { createContext } from "../../../src/storage/sqlite/thread/context.ts";
import { runWrites } from "../../../src/storage/sqlite/thread/group.ts";
import { writerOperations } from "../../../src/storage/sqlite/thread/operations.ts";
import { eventually } from "../../runner/eventually.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { creation, taskKey } from "./fixtures.ts";

const options = { prefix: "a2a_", maxHistoryLength: 100 };

/** A closed database with ended tasks of 16 MB in all. */
async function filled(): Promise<string> {
  const file = join(temporaryFolder(), "tasks.db");
  await using storage = await createSqliteStorage(file);
  for (let index = 0; index < 8; index++) {
    const { header, ...append } = creation(`c${index}`, new Uint8Array(2_000_000));
    await storage.appendTask(taskKey(`t${index}`), { ...append, header: { ...header, state: 3 } });
  }
  return file;
}

function pragma(file: string, name: string): number {
  using db = new DatabaseSync(file, { readOnly: true });
  return Number(db.prepare(`PRAGMA ${name}`).get()?.[name]);
}

test("the file shrinks while the storage is open, once what filled it has expired", async () => {
  const file = await filled();
  const before = statSync(file).size;
  expect(before).toBeGreaterThan(16_000_000);
  await using storage = await createSqliteStorage(file);
  expect(await storage.cleanupExpiredConversations(0)).toBe(8);
  await eventually("the file is cut", () => statSync(file).size < before / 4);
  await storage.appendTask(taskKey("new"), creation("new", new Uint8Array(1_000_000)));
  expect((await storage.getTask(taskKey("new")))?.head).toBe(1n);
});

test("one step gives back a bounded number of pages, and the last ones stay for new rows", async () => {
  const file = await filled();
  const db = openWriter(file, options.prefix);
  const context = createContext(db, options);
  const call = (name: string, args: unknown) => {
    const [reply] = runWrites(context, writerOperations, [{ id: 1, name, args, bytes: 0 }]);
    return reply as { readonly value: unknown };
  };
  const pages = () => Number(db.prepare("PRAGMA page_count").get()?.page_count);
  call("cleanupConversations", { maxAgeMs: 0, scope: undefined, from: undefined });
  while (call("sweep", {}).value === true);
  const all = pages();
  let steps = 0;
  for (let more = true; more; steps++) {
    const before = pages();
    more = call("giveBack", {}).value === true;
    // A page of SQLite's own map of pages may go with them.
    expect(before - pages()).toBeLessThanOrEqual(pagesGivenBackMax + 1);
  }
  expect(steps).toBeGreaterThanOrEqual(5);
  expect(all - pages()).toBeGreaterThan(3_000);
  const free = Number(db.prepare("PRAGMA freelist_count").get()?.freelist_count);
  expect(free).toBeGreaterThanOrEqual(freePagesKept);
  expect(call("giveBack", {}).value).toBe(false);
  expect(Number(db.prepare("PRAGMA freelist_count").get()?.freelist_count)).toBe(free);
  db.close();
});

test("a database that was made without giving space back is rewritten once, with all that is in it", async () => {
  const file = await filled();
  const old = new DatabaseSync(file);
  old.exec("PRAGMA auto_vacuum = NONE; VACUUM");
  old.close();
  expect(pragma(file, "auto_vacuum")).toBe(0);
  const before = statSync(file).size;
  await using storage = await createSqliteStorage(file);
  expect(pragma(file, "auto_vacuum")).toBe(2);
  expect((await storage.readTask(taskKey("t7"), 0n, 1))[0]?.bytes.byteLength).toBe(2_000_000);
  expect(await storage.cleanupExpiredConversations(0)).toBe(8);
  await eventually("the file is cut", () => statSync(file).size < before / 4);
});

test("a database that can't be rewritten, as on a full disk, opens as it is and is rewritten at the next start", async () => {
  const file = await filled();
  const old = new DatabaseSync(file);
  old.exec("PRAGMA auto_vacuum = NONE; VACUUM");
  old.close();
  const exec = DatabaseSync.prototype.exec;
  const rewriting = vi.spyOn(DatabaseSync.prototype, "exec").mockImplementation(function (this: DatabaseSync, sql) {
    if (sql === "VACUUM") throw new Error("database or disk is full");
    exec.call(this, sql);
  });
  onTestFinished(() => rewriting.mockRestore());
  const db = openWriter(file, options.prefix);
  expect(db.prepare("SELECT count(*) AS count FROM a2a_tasks").get()).toEqual({ count: 8 });
  db.close();
  expect(rewriting).toHaveBeenCalledWith("VACUUM");
  expect(pragma(file, "auto_vacuum")).toBe(0);
  rewriting.mockRestore();
  openWriter(file, options.prefix).close();
  expect(pragma(file, "auto_vacuum")).toBe(2);
});
