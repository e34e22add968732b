import { expect, it } from "vitest";
import { checkedOptions } from "../../src/manager/options.ts";

it("the Go package's defaults are the defaults", () => {
  expect(checkedOptions({})).toMatchObject({
    enableCleanup: true,
    cleanupIntervalMs: 30_000,
    conversationTtlMs: 3_600_000,
  });
});

it("a conversation's time is at least four lease times", () => {
  expect(checkedOptions({ conversationTtlMs: 16_000 }).conversationTtlMs).toBe(16_000);
  expect(checkedOptions({ conversationTtlMs: 400, leaseMs: 100 }).conversationTtlMs).toBe(400);
  expect(() => checkedOptions({ conversationTtlMs: 15_999 })).toThrow(
    "conversationTtlMs: must be at least 4 times leaseMs (4000), not 15999",
  );
  expect(() => checkedOptions({ leaseMs: 1_000_000 })).toThrow(
    "conversationTtlMs: must be at least 4 times leaseMs (1000000), not 3600000",
  );
});
