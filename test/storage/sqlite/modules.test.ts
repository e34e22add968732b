import { execFileSync } from "node:child_process";
import { expect, test } from "vitest";

const entry = new URL("../../../src/storage/sqlite/thread/sqlite-worker.ts", import.meta.url).href;

/** Prints what is loaded with a module, one URL a line. */
const list = `
  import { registerHooks } from "node:module";
  registerHooks({ load(url, context, next) { console.log(url); return next(url, context); } });
  await import(${JSON.stringify(entry)});
`;

test("a thread of SQLite loads its own modules, and neither protobuf nor any other package", () => {
  const output = execFileSync(process.execPath, ["--input-type=module", "--eval", list], { encoding: "utf8" });
  const loaded = output.trim().split("\n");
  expect(loaded).toContain(entry);
  expect(loaded.filter((url) => !url.startsWith("node:") && !url.includes("/src/"))).toEqual([]);
});
