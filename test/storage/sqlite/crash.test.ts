import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { DatabaseSync } from "node:sqlite";
import { expect, test } from "vitest";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { temporaryFolder } from "../temporary-folder.ts";
import { progress, taskKey } from "./fixtures.ts";

const child = join(import.meta.dirname, "crash-child.ts");

/**
 * The number of acknowledgements after which the process is killed: drawn anew in every run, and named in the test for
 * when it fails.
 */
const killPoints = Array.from({ length: 5 }, () => 1 + Math.floor(Math.random() * 3000));

test.each(killPoints)("a process that is killed after %i acknowledgements loses none of them", {
  timeout: 60_000,
}, async (killPoint) => {
  const file = join(temporaryFolder(), "tasks.db");
  const acknowledged = await runUntilKilled(file, killPoint);

  await using storage = await createSqliteStorage(file);
  for (const [taskId, head] of acknowledged) {
    const key = taskKey(taskId);
    const task = await storage.getTask(key);
    expect(task?.head).toBeGreaterThanOrEqual(head);
    // Entries and header agree: all there are, dense, and the next append fits on.
    const entries = await storage.readTask(key, 0n, Number.POSITIVE_INFINITY);
    expect(entries.map(({ batch }) => batch)).toEqual(
      Array.from({ length: Number(task?.head) }, (_, i) => `batch-${i + 1}`),
    );
    expect((await storage.appendTask(key, progress(Number(task?.head) + 1))).outcome).toBe("committed");
  }
  const db = new DatabaseSync(file, { readOnly: true });
  expect(db.prepare("PRAGMA integrity_check").get()).toMatchObject({ integrity_check: "ok" });
  db.close();
});

test("a process that closes its storage ends by itself", { timeout: 30_000 }, async () => {
  const url = new URL("../../../src/storage/sqlite/storage.ts", import.meta.url);
  const code = `
    const { createSqliteStorage } = await import(${JSON.stringify(url.href)});
    const storage = await createSqliteStorage(${JSON.stringify(join(temporaryFolder(), "tasks.db"))});
    await storage.register("r");
    await storage[Symbol.asyncDispose]();`;
  const running = spawn(process.execPath, ["--input-type=module", "--eval", code], { stdio: "inherit" });
  expect(await once(running, "exit")).toEqual([0, null]);
});

/**
 * Runs the child, kills it when it has acknowledged so many appends, and returns the largest head acknowledged of each
 * task.
 */
async function runUntilKilled(file: string, killPoint: number): Promise<ReadonlyMap<string, bigint>> {
  const running = spawn(process.execPath, [child, file], { stdio: ["ignore", "pipe", "inherit"] });
  const exited = once(running, "exit");
  const acknowledged = new Map<string, bigint>();
  let count = 0;
  // What is still in the pipe after the kill was acknowledged too.
  for await (const line of createInterface({ input: running.stdout })) {
    const [taskId = "", head = ""] = line.split(" ");
    acknowledged.set(taskId, BigInt(head));
    count += 1;
    if (count === killPoint) {
      running.kill("SIGKILL");
    }
  }
  expect(await exited).toEqual([null, "SIGKILL"]);
  expect(count).toBeGreaterThanOrEqual(killPoint);
  return acknowledged;
}
