import { expect, it } from "vitest";
import { checkedOptions } from "../../src/manager/options.ts";

it("the Go package's defaults are the defaults", () => {
  expect(checkedOptions({})).toMatchObject({
    enableCleanup: true,
    cleanupIntervalMs: 30_000,
    conversationTtlMs: 3_600_000,
  });
});
