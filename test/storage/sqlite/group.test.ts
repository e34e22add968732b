import { join } from "node:path";
import { DatabaseSync } from "node:sqlite";
import { create, toBinary } from "@bufbuild/protobuf";
import fc from "fast-check";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { EntryBatchSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { migrate, migrations } from "../../../src/storage/sqlite/rows/schema.ts";
import { allSql, withPrefix } from "../../../src/storage/sqlite/rows/statements.ts";
import type { SqliteTables } from "../../../src/storage/sqlite/rows/tables.ts";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { openWriter } from "../../../src/storage/sqlite/thread/connection.ts";
import { createContext, type SqliteContext } from "../../../src/storage/sqlite/thread/context.ts";
import { runReads, runWrites } from "../../../src/storage/sqlite/thread/group.ts";
import { encodeEntryBatch, entryRanges } from "../../../src/storage/tables/entry-batch.ts";
import type { Moment } from "../../../src/storage/tables/moment.ts";
import { listReplicas, register } from "../../../src/storage/tables/operations/replicas.ts";
import { runAtOnce, type Steps, step } from "../../../src/storage/tables/steps.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { creation, taskKey } from "./fixtures.ts";

describe("a group of writes", () => {
  let context: SqliteContext;
  beforeEach(() => {
    const db = openWriter(join(temporaryFolder(), "tasks.db"), "a2a_");
    context = createContext(db, { prefix: "a2a_", maxHistoryLength: 100 });
  });
  afterEach(() => context.db.close());

  const operations = {
    register,
    *registerAndThrow(tables: SqliteTables, args: { readonly replica: string }, at: Moment): Steps<void> {
      yield* register(tables, args, at);
      throw new Error("After the change");
    },
    *breakConstraint(tables: SqliteTables, args: { readonly replica: string }, at: Moment): Steps<void> {
      yield* register(tables, args, at);
      context.db.exec("INSERT INTO a2a_replicas SELECT replica, counter, beat_ms FROM a2a_replicas");
    },
    *undoAll(): Steps<void> {
      yield* step(context.db.exec("ROLLBACK"));
    },
    *breakCommit(): Steps<void> {
      const sql = "PRAGMA defer_foreign_keys = ON; INSERT INTO a2a_summaries (task, bytes) VALUES (12345, x'00')";
      yield* step(context.db.exec(sql));
    },
  };
  const calls = (...names: readonly (keyof typeof operations)[]) =>
    names.map((name, id) => ({ id, name, args: { replica: `replica-${id}` }, bytes: 0 }));
  const replicas = () => runAtOnce(listReplicas(context.tables, {})).map(({ replica }) => replica);

  test("keeps what succeeded and nothing of what failed", () => {
    const replies = runWrites(
      context,
      operations,
      calls("register", "registerAndThrow", "register", "breakConstraint", "register"),
    );
    expect(replies).toMatchObject([
      { id: 0, value: undefined },
      { id: 1, error: { message: "After the change", outcome: "none" } },
      { id: 2, value: undefined },
      { id: 3, error: { code: "corrupt", outcome: "none" } },
      { id: 4, value: undefined },
    ]);
    expect(replicas()).toEqual(["replica-0", "replica-2", "replica-4"]);
  });

  test("whose COMMIT fails is unknown to every caller", () => {
    const replies = runWrites(context, operations, calls("register", "breakCommit", "registerAndThrow"));
    expect(replies).toMatchObject([0, 1, 2].map((id) => ({ id, error: { code: "unavailable", outcome: "unknown" } })));
    expect(context.db.isTransaction).toBe(false);
    expect(runWrites(context, operations, calls("register"))).toEqual([{ id: 0, value: undefined }]);
  });

  test("that SQLite undoes changed nothing for any caller", () => {
    const replies = runWrites(context, operations, calls("register", "undoAll", "register"));
    expect(replies).toMatchObject([0, 1, 2].map((id) => ({ id, error: { code: "unavailable", outcome: "none" } })));
    expect(replicas()).toEqual([]);
  });

  test("that another process keeps from beginning changed nothing", () => {
    const other = new DatabaseSync(context.db.location() ?? "");
    other.exec("BEGIN IMMEDIATE");
    context.db.exec("PRAGMA busy_timeout = 1");
    expect(runWrites(context, operations, calls("register"))).toMatchObject([
      { id: 0, error: { code: "unavailable", outcome: "none" } },
    ]);
    other.close();
  });

  test("that finds no room changed nothing, and the next one is carried out", () => {
    const { page_count: pages } = context.db.prepare("PRAGMA page_count").get() as { page_count: number };
    context.db.exec(`PRAGMA max_page_count = ${pages}`);
    const large = { replica: "r".repeat(100_000) };
    expect(runWrites(context, operations, [{ id: 0, name: "register", args: large, bytes: 0 }])).toMatchObject([
      { id: 0, error: { code: "unavailable", outcome: "none" } },
    ]);
    context.db.exec(`PRAGMA max_page_count = ${pages + 1000}`);
    expect(runWrites(context, operations, calls("register"))).toEqual([{ id: 0, value: undefined }]);
    expect(replicas()).toEqual(["replica-0"]);
  });

  test("reads stop when the answers are large, and leave no transaction open", () => {
    function* readLarge(): Steps<{ readonly bytes: Uint8Array }> {
      return { bytes: yield* step(new Uint8Array(800_000)) };
    }
    const some = Array.from({ length: 5 }, (_, id) => ({ id, name: "readLarge", args: {}, bytes: 0 }));
    expect(runReads(context, { readLarge }, some)).toHaveLength(2);
    expect(context.db.isTransaction).toBe(false);
  });
});

describe("statements", () => {
  /** Those that may read a whole table or sort by themselves. */
  const allowed: Readonly<Record<string, string>> = {
    listReplicas: "it asks for the whole table, which has a row per process of late",
    forgetReplicas: "it looks at the whole table, once per cleanup",
  };

  test.each(Object.entries(allSql))("%s reads by an index and sorts nothing", (name, sql) => {
    const db = new DatabaseSync(":memory:");
    migrate(db, "a2a_");
    const plan = db
      .prepare(`EXPLAIN QUERY PLAN ${withPrefix("a2a_", sql)}`)
      .all()
      .map(({ detail }) => String(detail));
    db.close();
    // One that is allowed and doesn't need to be must leave the list.
    expect(plan.some((step) => step.startsWith("SCAN") || step.includes("TEMP B-TREE"))).toBe(name in allowed);
  });
});

describe("migrations", () => {
  const next = { version: 2, sql: "ALTER TABLE {tasks} ADD COLUMN note TEXT" };

  test("are numbered from 1, and none asks for a newer reader than it is itself", () => {
    expect(migrations.map(({ version }) => version)).toEqual(migrations.map((_, index) => index + 1));
    expect(migrations.filter(({ version, readableBy }) => readableBy > version)).toEqual([]);
  });

  test("leave a database of this version as it is", async () => {
    const file = join(temporaryFolder(), "tasks.db");
    const first = await createSqliteStorage(file);
    await first.appendTask(taskKey("t"), creation("c"));
    await first[Symbol.asyncDispose]();
    await using storage = await createSqliteStorage(file);
    expect(await storage.taskExists(taskKey("t"))).toBe(true);
  });

  test("a newer database is opened if it says that this release can read it", async () => {
    const file = await migrated([...migrations, { ...next, readableBy: 1 }]);
    await using storage = await createSqliteStorage(file);
    expect(await storage.taskExists(taskKey("t"))).toBe(true);
    expect((await storage.appendTask(taskKey("other"), creation("c"))).outcome).toBe("committed");
  });

  test("a newer database is refused if this release can't read it", async () => {
    const file = await migrated([...migrations, { ...next, readableBy: 2 }]);
    await expect(createSqliteStorage(file)).rejects.toMatchObject({
      code: "invalid",
      message:
        "The database has schema version 2, which releases from schema version 2 on can read; this release has 1",
    });
  });

  test("one that fails leaves the database as it was", async () => {
    const file = await migrated(migrations);
    const db = new DatabaseSync(file);
    const broken = { version: 2, readableBy: 2, sql: `${next.sql}; INSERT INTO {nowhere} VALUES (1)` };
    expect(() => migrate(db, "a2a_", [...migrations, broken])).toThrow("no such table");
    db.close();
    await using storage = await createSqliteStorage(file);
    expect(await storage.taskExists(taskKey("t"))).toBe(true);
  });

  /** A database of this release with a task, to which the steps were applied. */
  async function migrated(steps: typeof migrations): Promise<string> {
    const file = join(temporaryFolder(), "tasks.db");
    const storage = await createSqliteStorage(file);
    await storage.appendTask(taskKey("t"), creation("c"));
    await storage[Symbol.asyncDispose]();
    const db = new DatabaseSync(file);
    migrate(db, "a2a_", steps);
    db.close();
    return file;
  }
});

describe("the encoding of batches", () => {
  const entries = fc.array(fc.uint8Array({ maxLength: 300 }), { minLength: 1, maxLength: 20 });

  test("is that of the contract, and its entries are found again", () => {
    fc.assert(
      fc.property(entries, (some) => {
        const bytes = encodeEntryBatch(some);
        expect(bytes).toEqual(toBinary(EntryBatchSchema, create(EntryBatchSchema, { entries: some })));
        expect(entryRanges(bytes).map(({ begin, end }) => bytes.slice(begin, end))).toEqual(some);
      }),
    );
  });

  test("may hold fields that this release doesn't know", () => {
    const bytes = new Uint8Array([
      0x10, 0x96, 0x01, 0x0a, 1, 7, 0x1d, 1, 2, 3, 4, 0x21, 1, 2, 3, 4, 5, 6, 7, 8, 0x2a, 2, 9, 9, 0x0a, 0,
    ]);
    expect(entryRanges(bytes).map(({ begin, end }) => [...bytes.slice(begin, end)])).toEqual([[7], []]);
  });

  test.each([[[0x0a]], [[0x0a, 5, 1]], [[0x0b]], [[0x09, 1]], [Array(12).fill(0xff)]])("%j is refused", (bytes) => {
    expect(() => entryRanges(new Uint8Array(bytes))).toThrow(expect.objectContaining({ code: "corrupt" }));
  });
});
