import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext } from "@connectrpc/connect";
import {
  BadRequest_FieldViolationSchema,
  BadRequestSchema,
  ErrorInfoSchema,
} from "../../../gen/google/rpc/error_details_pb.ts";
import { type Reason, TaskError } from "../../domain/task-error.ts";
import type { Logger } from "../../runtime/logger.ts";
import { errorMetadataBytesMax, errorTextBytesMax, errorViolationsBytesMax } from "./error-limits.ts";
import { shortened } from "./shortened.ts";

/** The codes of one reason in each binding. */
export interface ErrorMapping {
  /** gRPC, gRPC-Web and Connect. */
  readonly code: Code;
  /** A2A over HTTP+JSON. */
  readonly http: number;
  /** A2A over JSON-RPC. */
  readonly jsonRpc: number;
  /** ErrorInfo.domain: A2A's for errors that A2A defines (R131), ours for all others. */
  readonly domain: string;
}

const a2a = "a2a-protocol.org";
const own = "a2a-task-manager";

/** The one table of errors, after §5.4 of the specification v1.0.1 (R131, R132). */
export const errorTable: Readonly<Record<Reason, ErrorMapping>> = {
  TASK_NOT_FOUND: { code: Code.NotFound, http: 404, jsonRpc: -32001, domain: a2a },
  TASK_NOT_CANCELABLE: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32002, domain: a2a },
  PUSH_NOTIFICATION_NOT_SUPPORTED: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32003, domain: a2a },
  UNSUPPORTED_OPERATION: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32004, domain: a2a },
  CONTENT_TYPE_NOT_SUPPORTED: { code: Code.InvalidArgument, http: 400, jsonRpc: -32005, domain: a2a },
  INVALID_AGENT_RESPONSE: { code: Code.Internal, http: 500, jsonRpc: -32006, domain: a2a },
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32007, domain: a2a },
  EXTENSION_SUPPORT_REQUIRED: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32008, domain: a2a },
  VERSION_NOT_SUPPORTED: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32009, domain: a2a },
  INVALID_REQUEST: { code: Code.InvalidArgument, http: 400, jsonRpc: -32602, domain: own },
  CONVERSATION_NOT_FOUND: { code: Code.NotFound, http: 404, jsonRpc: -32001, domain: own },
  OUT_OF_RANGE: { code: Code.OutOfRange, http: 400, jsonRpc: -32602, domain: own },
  TOO_LARGE: { code: Code.ResourceExhausted, http: 413, jsonRpc: -32602, domain: own },
  TOO_MANY: { code: Code.ResourceExhausted, http: 429, jsonRpc: -32603, domain: own },
  STILL_RUNNING: { code: Code.FailedPrecondition, http: 400, jsonRpc: -32602, domain: own },
  MESSAGE_ID_REUSED: { code: Code.AlreadyExists, http: 409, jsonRpc: -32602, domain: own },
  UNAVAILABLE: { code: Code.Unavailable, http: 503, jsonRpc: -32603, domain: own },
  DATA_LOSS: { code: Code.DataLoss, http: 500, jsonRpc: -32603, domain: own },
};

/** Errors without a reason, such as Connect's own, by their code; with gRPC's name of the code. */
export const codeTable: Readonly<
  Record<Code, { readonly status: string; readonly http: number; readonly jsonRpc: number }>
> = {
  [Code.Canceled]: { status: "CANCELLED", http: 499, jsonRpc: -32603 },
  [Code.Unknown]: { status: "UNKNOWN", http: 500, jsonRpc: -32603 },
  [Code.InvalidArgument]: { status: "INVALID_ARGUMENT", http: 400, jsonRpc: -32602 },
  [Code.DeadlineExceeded]: { status: "DEADLINE_EXCEEDED", http: 504, jsonRpc: -32603 },
  [Code.NotFound]: { status: "NOT_FOUND", http: 404, jsonRpc: -32001 },
  [Code.AlreadyExists]: { status: "ALREADY_EXISTS", http: 409, jsonRpc: -32602 },
  [Code.PermissionDenied]: { status: "PERMISSION_DENIED", http: 403, jsonRpc: -32603 },
  [Code.ResourceExhausted]: { status: "RESOURCE_EXHAUSTED", http: 429, jsonRpc: -32603 },
  [Code.FailedPrecondition]: { status: "FAILED_PRECONDITION", http: 400, jsonRpc: -32602 },
  [Code.Aborted]: { status: "ABORTED", http: 409, jsonRpc: -32603 },
  [Code.OutOfRange]: { status: "OUT_OF_RANGE", http: 400, jsonRpc: -32602 },
  [Code.Unimplemented]: { status: "UNIMPLEMENTED", http: 501, jsonRpc: -32601 },
  [Code.Internal]: { status: "INTERNAL", http: 500, jsonRpc: -32603 },
  [Code.Unavailable]: { status: "UNAVAILABLE", http: 503, jsonRpc: -32603 },
  [Code.DataLoss]: { status: "DATA_LOSS", http: 500, jsonRpc: -32603 },
  [Code.Unauthenticated]: { status: "UNAUTHENTICATED", http: 401, jsonRpc: -32603 },
};

/**
 * A TaskError as a ConnectError within the bounds of `error-limits.ts`: its code, ErrorInfo, and BadRequest if fields
 * are at fault. The cause is not sent.
 */
export function connectErrorOf(error: TaskError): ConnectError {
  const { code, domain } = errorTable[error.reason];
  const metadata = Object.fromEntries(
    Object.entries(error.metadata).map(([key, value]) => [key, shortened(value, errorMetadataBytesMax)]),
  );
  const info = create(ErrorInfoSchema, { reason: error.reason, domain, metadata });
  const text = shortened(error.message, errorTextBytesMax);
  const connectError = new ConnectError(
    text,
    code,
    undefined,
    [{ desc: ErrorInfoSchema, value: info }],
    error.cause ?? error,
  );
  if (error.violations.length > 0) {
    const fieldViolations = boundedViolations(error);
    connectError.details.push({ desc: BadRequestSchema, value: create(BadRequestSchema, { fieldViolations }) });
  }
  return connectError;
}

/** The first violation, and as many more as fit. */
function boundedViolations({ violations }: TaskError) {
  let leftBytes = errorViolationsBytesMax;
  return violations.flatMap(({ field, description }) => {
    const bounded = {
      field: shortened(field, errorTextBytesMax),
      description: shortened(description, errorTextBytesMax),
    };
    leftBytes -= Buffer.byteLength(bounded.field) + Buffer.byteLength(bounded.description);
    return leftBytes < 0 ? [] : [create(BadRequest_FieldViolationSchema, bounded)];
  });
}

/**
 * The error that a client gets for what a call threw. An error that is neither a TaskError nor a ConnectError is a bug
 * or a fault of the machine: the client gets an id only, and the log has the cause under the same id.
 */
export function toConnectError(error: unknown, logger: Logger): ConnectError {
  if (error instanceof TaskError) {
    const connectError = connectErrorOf(error);
    if (connectError.code === Code.Internal || connectError.code === Code.DataLoss)
      logger.error({ err: error }, "A call failed");
    else if (isDatabaseRefusal(error)) logger.warn({ err: error }, "The storage refused a call");
    return connectError;
  }
  // Connect's own error, such as the reason of a signal: deadline exceeded, canceled.
  if (error instanceof ConnectError) return error;
  if (error instanceof Error && error.name === "AbortError")
    return new ConnectError("The client went away", Code.Canceled, undefined, undefined, error);
  const errorId = crypto.randomUUID();
  logger.error({ err: error, errorId }, "A call failed unexpectedly");
  return new ConnectError(`Internal error ${errorId}`, Code.Internal, undefined, undefined, error);
}

/** Whether the database rejected the request. The client gets no details; the cause has them. */
function isDatabaseRefusal({ reason, cause }: TaskError): boolean {
  return (
    reason === "INVALID_REQUEST" && cause instanceof Error && cause.name === "StorageError" && cause.cause !== undefined
  );
}

/**
 * Gives Connect's own refusals of a request our codes and details. Connect's handlers abort the call's context with
 * such an error before they write it, so it is changed there.
 */
export function describeRefusals(context: HandlerContext): void {
  context.signal.addEventListener("abort", () => describeRefusal(context.signal.reason), { once: true });
}

/**
 * Changes an error of Connect's that refuses a request, in place. Connect tells protobuf that can't be parsed as
 * INTERNAL, and all refusals without details, but a request that can't be read is the client's fault (R129, R132).
 */
export function describeRefusal(error: unknown): void {
  if (!(error instanceof ConnectError) || error.details.length > 0) return;
  const refusal = refusalOf(error);
  if (refusal === undefined) return;
  const [reason, text] = refusal;
  const { code, details } = connectErrorOf(new TaskError(reason, text));
  Object.assign(error, { code, details, rawMessage: text });
}

function refusalOf({ code, rawMessage, cause }: ConnectError): readonly [Reason, string] | undefined {
  // Connect's text has no other mark, and ends with that of the library or of the engine.
  if (code === Code.Internal && rawMessage.startsWith("parse binary: "))
    return ["INVALID_REQUEST", "The request is not a message of its type in protobuf"];
  // The cause is what the parser of JSON threw, and the text is the parser's.
  if (code === Code.InvalidArgument)
    return ["INVALID_REQUEST", cause === undefined ? rawMessage : "The request is not a message of its type in JSON"];
  // Connect's own texts on sizes differ from protocol to protocol.
  if (code === Code.ResourceExhausted) return ["TOO_LARGE", "The request is larger than requests may be"];
  return undefined;
}
