import { spawnSync } from "node:child_process";
import { join } from "node:path";
import { expect, it } from "vitest";

const launcher = join(import.meta.dirname, "../../bin/a2a-task-manager.cjs");
/** A Node of the machine, which may be too old for the server. */
const [old] = ["/usr/bin/node", "/usr/local/bin/node"].filter((node) => {
  const { status, stdout } = spawnSync(node, ["--version"], { encoding: "utf8" });
  return status === 0 && Number.parseInt(stdout.slice(1), 10) < 24;
});

it.skipIf(old === undefined)("a Node that is too old says in one line which one is needed", () => {
  const { status, stdout, stderr } = spawnSync(old ?? "", [launcher, "--version"], { encoding: "utf8" });
  expect(stderr).toMatch(/^a2a-task-manager needs Node 24 or later, and this is v\d+\.\d+\.\d+\n$/);
  expect([status, stdout]).toEqual([1, ""]);
});

it("the launcher runs the command of the checkout", () => {
  const { status, stdout } = spawnSync(process.execPath, [launcher, "--version"], { encoding: "utf8" });
  expect([status, stdout]).toEqual([0, "0.1.0\n"]);
});
