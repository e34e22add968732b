import { randomFillSync } from "node:crypto";
import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { held } from "../../../src/storage/sqlite/rows/conditions.ts";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { creation, progress, taskKey } from "./fixtures.ts";

const megabyte = 1024 * 1024;

test("a snapshot of 64 MiB comes back, lets appends through while it is stored, and leaves nothing of the one before", async () => {
  const file = join(temporaryFolder(), "tasks.db");
  const storage = await createSqliteStorage(file);
  const key = taskKey("t");
  await storage.appendTask(key, creation("c"));
  await storage.appendTask(key, progress(2));
  await storage.appendTask(taskKey("other"), creation("c"));
  await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array(9 * megabyte) });
  const bytes = randomFillSync(new Uint8Array(64 * megabyte));
  let stored = false;
  const storing = storage.storeSnapshot(key, { sequence: 2n, bytes }).then(() => {
    stored = true;
  });
  let appends = 0;
  for (let head = 2; !stored; head++) {
    await storage.appendTask(taskKey("other"), progress(head));
    appends += 1;
  }
  await storing;
  expect(appends).toBeGreaterThan(3);
  const snapshot = (await storage.getTask(key, { snapshot: true }))?.snapshot;
  expect(snapshot?.sequence).toBe(2n);
  expect(Buffer.compare(snapshot?.bytes ?? bytes.subarray(1), bytes)).toBe(0);
  await storage[Symbol.asyncDispose]();
  expect(rowsOf(file)).toBe(64);
});

test("pieces of a snapshot that a crash left incomplete go when the file is opened again", async () => {
  const file = join(temporaryFolder(), "tasks.db");
  const first = await createSqliteStorage(file);
  const [named, other] = [taskKey("named"), taskKey("other")];
  for (const key of [named, other]) {
    await first.appendTask(key, creation("c"));
  }
  await first.storeSnapshot(named, { sequence: 1n, bytes: new Uint8Array(2 * megabyte) });
  await first[Symbol.asyncDispose]();
  const db = new DatabaseSync(file);
  const piece = db.prepare(
    "INSERT INTO a2a_snapshots (task, snapshot, piece, bytes) SELECT id, 7, ?, zeroblob(1000) FROM a2a_tasks",
  );
  for (let index = 0; index < 100; index++) {
    piece.run(index);
  }
  db.close();
  expect(rowsOf(file)).toBe(202);
  const storage = await createSqliteStorage(file);
  expect((await storage.getTask(named, { snapshot: true }))?.snapshot?.bytes.byteLength).toBe(2 * megabyte);
  await storage[Symbol.asyncDispose]();
  expect(rowsOf(file)).toBe(2);
});

test("of snapshots stored at once one is kept, whole", async () => {
  const file = join(temporaryFolder(), "tasks.db");
  const storage = await createSqliteStorage(file);
  const key = taskKey("t");
  await storage.appendTask(key, creation("c"));
  for (let head = 2; head <= 5; head++) {
    await storage.appendTask(key, progress(head));
  }
  await Promise.all(
    [1n, 5n, 3n, 5n, 2n].map((sequence) =>
      storage.storeSnapshot(key, { sequence, bytes: new Uint8Array(9 * megabyte).fill(Number(sequence)) }),
    ),
  );
  const snapshot = (await storage.getTask(key, { snapshot: true }))?.snapshot;
  expect(snapshot?.bytes.byteLength).toBe(9 * megabyte);
  expect(snapshot?.bytes.every((byte) => byte === Number(snapshot.sequence))).toBe(true);
  // What one that was not kept left behind goes with the next one that is, or with the task.
  await storage.deleteTask(key);
  await storage[Symbol.asyncDispose]();
  expect(rowsOf(file)).toBe(0);
});

test("the numbers of states in statements are those of the contract", () => {
  expect(held).toContain(`state IN (${TaskState.SUBMITTED}, ${TaskState.WORKING})`);
  expect(held).toContain(
    `IN (${TaskState.SUBMITTED}, ${TaskState.WORKING}, ${TaskState.INPUT_REQUIRED}, ${TaskState.AUTH_REQUIRED})`,
  );
  expect(held).toContain(`IN (${TaskState.SUBMITTED}, ${TaskState.WORKING}) OR`);
});

/** The pieces of snapshots in a file. */
function rowsOf(file: string): number {
  const db = new DatabaseSync(file);
  const row = db.prepare("SELECT count(*) AS rows FROM a2a_snapshots").get();
  db.close();
  return Number(row?.rows);
}
