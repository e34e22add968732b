import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import { asTaskError } from "../../../src/manager/map-storage-errors.ts";
import { StorageError } from "../../../src/storage/storage-error.ts";
import { connectErrorOf, toConnectError } from "../../../src/transport/errors/errors.ts";
import { type LogLine, loggerTo } from "../../manager/fixtures.ts";

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

test("why a database refused a call stands in the log, which is not told of clients' own faults", () => {
  const lines: LogLine[] = [];
  const ofDatabase = asTaskError(
    new StorageError("invalid", "MongoDB refuses the call: secret", { cause: new Error("secret") }),
  );
  const told = toConnectError(ofDatabase, loggerTo(lines));
  expect(told.rawMessage).not.toContain("secret");
  expect(lines).toEqual([{ level: "warn", fields: { err: ofDatabase }, text: "The storage refused a call" }]);
  toConnectError(asTaskError(new StorageError("invalid", "The id is too long")), loggerTo(lines));
  toConnectError(
    new TaskError("INVALID_REQUEST", "The body is not valid gzip", { cause: new Error("zlib") }),
    loggerTo(lines),
  );
  expect(lines).toHaveLength(1);
});

test("what an error quotes is cut between two characters, and well-formed", () => {
  const told = connectErrorOf(
    new TaskError("INVALID_REQUEST", `${"ä".repeat(1000)}`, { metadata: { given: "\ud800" } }),
  );
  expect(told.rawMessage).toBe(`${"ä".repeat(384)}…`);
  expect(connectErrorOf(new TaskError("INVALID_REQUEST", `x${"ä".repeat(1000)}`)).rawMessage).toBe(
    `x${"ä".repeat(383)}…`,
  );
  expect(told.findDetails(ErrorInfoSchema)[0]?.metadata).toEqual({ given: "\ufffd" });
});

test("of violations as many are told as there is room for, the first ones", () => {
  const violations = Array.from({ length: 20 }, (_, index) => ({
    field: `metadata.${index}${"x".repeat(300)}`,
    description: "is wrong",
  }));
  const [told] = connectErrorOf(new TaskError("INVALID_REQUEST", "wrong", { violations })).findDetails(
    BadRequestSchema,
  );
  expect(told?.fieldViolations.map(({ field }) => field)).toEqual(violations.slice(0, 6).map(({ field }) => field));
});
