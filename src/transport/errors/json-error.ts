import { clone, create, isMessage, type JsonObject, toJson } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../../gen/google/rpc/error_details_pb.ts";
import type { Reason } from "../../domain/task-error.ts";
import { jsonFieldPath } from "../proto-json/json-path.ts";
import { codeTable, errorTable } from "./errors.ts";

/** An error as the JSON bindings send it. */
export interface JsonError {
  /** gRPC's name of the code. */
  readonly status: string;
  readonly http: number;
  readonly jsonRpc: number;
  readonly message: string;
  /** ErrorInfo, BadRequest, each with its `@type` (R129). */
  readonly details: readonly JsonObject[];
}

/** The JSON form of the error that a call ended with, after the table of errors. */
export function jsonError(error: ConnectError): JsonError {
  const byCode = codeTable[error.code];
  const reason = error.findDetails(ErrorInfoSchema)[0]?.reason;
  const { http, jsonRpc } = reason !== undefined && isReason(reason) ? errorTable[reason] : byCode;
  return { status: byCode.status, http, jsonRpc, message: error.rawMessage, details: error.details.flatMap(detailOf) };
}

function isReason(reason: string): reason is Reason {
  return Object.hasOwn(errorTable, reason);
}

/** `google.protobuf.Any` as JSON. Details that came over the wire are another server's: they are not passed on. */
function detailOf(detail: ConnectError["details"][number]): readonly JsonObject[] {
  if (!("desc" in detail)) return [];
  const message = clone(detail.desc, create(detail.desc, detail.value));
  if (isMessage(message, BadRequestSchema))
    for (const violation of message.fieldViolations) violation.field = jsonFieldPath(violation.field);
  const json = toJson(detail.desc, message) as JsonObject;
  return [{ "@type": `type.googleapis.com/${detail.desc.typeName}`, ...json }];
}
