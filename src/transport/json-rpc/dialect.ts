import type { JsonObject, Message } from "@bufbuild/protobuf";
import type { ConnectError, HandlerContext, MethodImplSpec } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkVersion, type VersionSource } from "../admission/a2a-version.ts";
import { errorMetadataBytesMax } from "../errors/error-limits.ts";
import { jsonError } from "../errors/json-error.ts";
import { shortened } from "../errors/shortened.ts";
import { readJson } from "../proto-json/read-json.ts";
import { writeJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { type RpcError, rpcCodes } from "./rpc-message.ts";

/** A version of A2A over JSON-RPC: its method names, and its form of params, results and errors. */
export interface Dialect {
  /**
   * Finds a method. Throws RpcFault for an unknown name, and TaskError VERSION_NOT_SUPPORTED if the request names
   * another version, which may have such a method.
   */
  find(name: string, request: VersionSource): DialectMethod;
  errorOf(error: ConnectError): RpcError;
}

/** A method with its JSON in one dialect. */
export interface DialectMethod {
  readonly method: MethodImplSpec;
  /** Prepares the context before the admission looks at it. */
  prepare?(context: HandlerContext): void;
  /** The request. Called after the admission. Throws TaskError for params that can't be read. */
  read(params: JsonObject, context: HandlerContext): Message;
  /** Whether `write` makes a text that shares nothing with the JSON of A2A 1.0. */
  readonly encodesAlone?: boolean;
  /** A result, or an event of a stream, as JSON text. */
  write(message: Message): string;
}

/** An error of JSON-RPC itself. */
export class RpcFault extends Error {
  override name = "RpcFault";
  readonly error: RpcError;

  constructor(error: RpcError) {
    super(error.message);
    this.error = error;
  }
}

/** The methods of A2A 0.2 that were renamed later, with their present names. */
const successors: Readonly<Record<string, string>> = {
  "tasks/send": "SendMessage",
  "tasks/sendSubscribe": "SendStreamingMessage",
};

/**
 * A2A 1.0: the contract's methods by their plain names (R161), those of other services with the name of their service
 * in front.
 */
export function currentDialect(services: readonly ServedService[]): Dialect {
  const methods = new Map<string, DialectMethod>();
  for (const { service, methods: implementations } of services) {
    const prefix = service.typeName === A2AService.typeName ? "" : `${service.typeName}/`;
    for (const method of Object.values(implementations))
      methods.set(`${prefix}${method.method.name}`, currentMethod(method));
  }
  return {
    find(name, request) {
      const method = methods.get(name);
      if (method !== undefined) return method;
      // Another version may have the method (R137). For a method of 0.2 the error names the successor in any case.
      if (!Object.hasOwn(successors, name)) checkVersion(request, "lenient");
      throw new RpcFault(methodNotFound(name));
    },
    errorOf,
  };
}

function currentMethod(method: MethodImplSpec): DialectMethod {
  const { input, output } = method.method;
  return {
    method,
    read: (params) => readJson(input, params),
    write: (message) => writeJson(output, message),
  };
}

/** An error with its details, the same in both versions (R165). */
export function errorOf(error: ConnectError): RpcError {
  const { jsonRpc, message, details } = jsonError(error);
  return { code: jsonRpc, message, ...(details.length > 0 && { data: details }) };
}

/** The error for an unknown method. For a method of version 0.2 it names the successor. */
export function methodNotFound(method: string): RpcError {
  const successor = Object.hasOwn(successors, method) ? successors[method] : undefined;
  const named = shortened(method, errorMetadataBytesMax);
  const fault = successor === undefined ? `there is no "${named}"` : `"${named}" of A2A 0.2 became "${successor}"`;
  const metadata = { method: named, ...(successor !== undefined && { successor }) };
  const info = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason: "METHOD_NOT_FOUND",
    domain: "a2a-task-manager",
    metadata,
  };
  return { code: rpcCodes.methodNotFound, message: `Method not found: ${fault}`, data: [info] };
}
