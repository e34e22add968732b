import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { toConnectError } from "../../src/transport/errors.ts";
import { type LogLine, loggerTo } from "../manager/fixtures.ts";

test("a client that hangs up while it waits is no failure of the server's", () => {
  const lines: LogLine[] = [];
  const hungUp = AbortSignal.abort();
  expect(toConnectError(hungUp.reason, loggerTo(lines)).code).toBe(Code.Canceled);
  expect(lines).toEqual([]);
});

test("what is neither a refusal nor a hang-up stands in the log, and clients are told where", () => {
  const lines: LogLine[] = [];
  const told = toConnectError(new Error("secret"), loggerTo(lines));
  expect([told.code, lines]).toEqual([Code.Internal, [expect.objectContaining({ level: "error" })]]);
  expect(told.rawMessage).toContain((lines[0]?.fields as { errorId: string }).errorId);
  expect(told.rawMessage).not.toContain("secret");
});
