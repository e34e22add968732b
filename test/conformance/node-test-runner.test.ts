import { execFile } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { differences } from "../../examples/storages/map/differences.ts";
import { createMapStorage } from "../../examples/storages/map/map-storage.ts";
import { storageConformance } from "../../src/conformance/index.ts";

const root = join(import.meta.dirname, "..", "..");
const file = "examples/storages/map/prove.ts";

test("the suite runs under node:test as examples/storages/README.md shows it, every case of it", {
  timeout: 120_000,
}, async () => {
  const cases = storageConformance(async (options) => createMapStorage(options), { differences }).length;
  const args = ["--test", "--test-reporter=tap", file];
  const { stdout } = await promisify(execFile)(process.execPath, args, { cwd: root, maxBuffer: 16 * 1024 * 1024 });
  const counts = Object.fromEntries(
    [...stdout.matchAll(/^# (pass|fail|skipped|cancelled|todo) (\d+)$/gm)].map(([, what, count]) => [
      what,
      Number(count),
    ]),
  );
  expect(counts).toEqual({ pass: cases, fail: 0, skipped: 0, cancelled: 0, todo: 0 });
});

test("what examples/storages/README.md shows is the file that runs, but for the package's name", () => {
  const [, shown] = /```ts\n(.*?)```/s.exec(readFileSync(join(root, "examples/storages/README.md"), "utf8")) ?? [];
  const code = readFileSync(join(root, file), "utf8");
  expect(shown).toBe(code.replace("../../../src/conformance/index.ts", "a2a-task-manager/storage-conformance"));
});
