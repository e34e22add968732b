import { expect, test } from "vitest";
import { invalidRequest, TaskError } from "../../../src/domain/task-error.ts";
import { connectErrorOf } from "../../../src/transport/errors/errors.ts";
import { jsonError } from "../../../src/transport/errors/json-error.ts";

/** A2A's own errors: JSON-RPC's code, gRPC's number and name, HTTP's status. */
test.each([
  ["TASK_NOT_FOUND", -32001, 5, "NOT_FOUND", 404],
  ["TASK_NOT_CANCELABLE", -32002, 9, "FAILED_PRECONDITION", 400],
  ["PUSH_NOTIFICATION_NOT_SUPPORTED", -32003, 9, "FAILED_PRECONDITION", 400],
  ["UNSUPPORTED_OPERATION", -32004, 9, "FAILED_PRECONDITION", 400],
  ["CONTENT_TYPE_NOT_SUPPORTED", -32005, 3, "INVALID_ARGUMENT", 400],
  ["INVALID_AGENT_RESPONSE", -32006, 13, "INTERNAL", 500],
  ["EXTENDED_AGENT_CARD_NOT_CONFIGURED", -32007, 9, "FAILED_PRECONDITION", 400],
  ["EXTENSION_SUPPORT_REQUIRED", -32008, 9, "FAILED_PRECONDITION", 400],
  ["VERSION_NOT_SUPPORTED", -32009, 9, "FAILED_PRECONDITION", 400],
] as const)("%s is told as %i over JSON-RPC, as %i over gRPC, as %s and %i over HTTP+JSON (R131)", (reason, jsonRpc, code, status, http) => {
  const error = connectErrorOf(new TaskError(reason, "It is so"));
  const details = [{ "@type": "type.googleapis.com/google.rpc.ErrorInfo", reason, domain: "a2a-protocol.org" }];
  expect(error.code).toBe(code);
  expect(jsonError(error)).toEqual({ jsonRpc, status, http, message: "It is so", details });
});

test("fields at fault are named as they are in JSON, and keys of maps as they are", () => {
  const violations = ["page_size", 'message.parts[0].media_type["a_b"].c_d', "Last-Event-ID"].map((field) => ({
    field,
    description: "is wrong",
  }));
  const [, badRequest] = jsonError(connectErrorOf(invalidRequest(violations))).details;
  const fields = ["pageSize", 'message.parts[0].mediaType["a_b"].cD', "Last-Event-ID"];
  expect(badRequest).toEqual({
    "@type": "type.googleapis.com/google.rpc.BadRequest",
    fieldViolations: fields.map((field) => ({ field, description: "is wrong" })),
  });
});
