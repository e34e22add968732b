import { expect, it } from "vitest";
import type { TaskError } from "../../src/domain/task-error.ts";
import { asTaskError } from "../../src/manager/map-storage-errors.ts";
import { StorageError } from "../../src/storage/storage-error.ts";

it("what a storage's own checks refuse is told as they say it", () => {
  const error = asTaskError(new StorageError("invalid", 'The context id "x" is too long')) as TaskError;
  expect([error.reason, error.message]).toEqual(["INVALID_REQUEST", 'The context id "x" is too long']);
});

it("what a database refuses is told in our words, with its own kept for the log", () => {
  const refusal = new StorageError("invalid", "MongoDB refuses the call: secret", { cause: new Error("secret") });
  const error = asTaskError(refusal) as TaskError;
  expect([error.reason, error.message, error.cause]).toEqual([
    "INVALID_REQUEST",
    "The storage cannot hold the content of the request",
    refusal,
  ]);
});
