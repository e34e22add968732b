import { expect, it } from "vitest";
import { readConfig } from "../../src/cli/read-config.ts";
import { endLimitMs } from "../../src/cli/server-options.ts";

function limitOf(args: readonly string[], turnsMs?: number): number {
  const invocation = readConfig(args, {}, "1.2.3");
  if (invocation.kind !== "serve") throw new Error(`These arguments lead to ${invocation.kind}`);
  const { config } = invocation;
  return endLimitMs(config, turnsMs ?? config.drainTurns);
}

it("a server ends within the 30 s that Kubernetes gives, whatever its agent, its clients and its storage do", () => {
  expect(limitOf([])).toBeLessThan(30_000);
});

it("a server whose turns get no time ends sooner by that time", () => {
  expect(limitOf([]) - limitOf([], 0)).toBe(15_000);
});

it("a server has all the time that its settings give", () => {
  expect(limitOf(["--drain-turns", "1m", "--drain-timeout", "2m"])).toBeGreaterThan(180_000);
  expect(limitOf(["--drain-turns", "1m", "--cancel-grace", "2m"])).toBeGreaterThan(180_000);
});

it("no timer gets a time for which Node ends it at once", () => {
  expect(limitOf(["--drain-turns", "30d"])).toBe(2 ** 31 - 1);
});
