import type { DescMethod, JsonObject } from "@bufbuild/protobuf";
import type { HandlerContext, MethodImplSpec } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkVersion, type VersionSource } from "../calls/a2a-version.ts";
import type { Admission } from "../calls/admission.ts";
import { callStreaming, callUnary } from "../calls/call-method.ts";
import { eventIdOf } from "../calls/event-sequence.ts";
import { jsonError } from "../errors/json-error.ts";
import { readJson } from "../proto-json/read-json.ts";
import { writeJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { type RpcError, rpcCodes } from "./rpc-message.ts";

/** A version of A2A over JSON-RPC: the names of its methods, and its form of params, results and errors. */
export interface Dialect {
  /**
   * Throws RpcFault for a name that it has nothing for, and TaskError VERSION_NOT_SUPPORTED where that may be for the
   * request's version.
   */
  find(name: string, request: VersionSource): RpcMethod;
  errorOf(error: Parameters<typeof jsonError>[0]): RpcError;
}

/** A method as JSON. Throws what the implementation throws, and TaskError for params that can't be read. */
export interface RpcMethod {
  readonly desc: DescMethod;
  readonly isStream: boolean;
  /** One for a method that answers once, the events in their order for a stream. */
  run(params: JsonObject, context: HandlerContext): AsyncGenerator<RpcResult>;
}

/** A result, or an event of a stream. */
export interface RpcResult {
  readonly json: string;
  /** Where a client that lost its stream goes on. */
  readonly id?: string | undefined;
}

/** What JSON-RPC itself has to say of a request. */
export class RpcFault extends Error {
  override name = "RpcFault";
  readonly error: RpcError;

  constructor(error: RpcError) {
    super(error.message);
    this.error = error;
  }
}

/** What the methods of A2A 0.2 became, which had their names before the project settled on others. */
const successors: Readonly<Record<string, string>> = {
  "tasks/send": "SendMessage",
  "tasks/sendSubscribe": "SendStreamingMessage",
};

/**
 * A2A 1.0: the contract's methods by their plain names (R161), those of other services after the name of their service.
 */
export function currentDialect(services: readonly ServedService[], gate: Admission): Dialect {
  const methods = new Map<string, RpcMethod>();
  for (const { service, methods: calls } of services) {
    const prefix = service.typeName === A2AService.typeName ? "" : `${service.typeName}/`;
    for (const call of Object.values(calls)) methods.set(`${prefix}${call.method.name}`, rpcMethod(call, gate));
  }
  return {
    find(name, request) {
      const method = methods.get(name);
      if (method !== undefined) return method;
      // Another version may well have it (R137). What asks for a method of 0.2 is told the successor, whatever it says
      // of versions.
      if (!Object.hasOwn(successors, name)) checkVersion(request, "lenient");
      throw new RpcFault(notFound(name));
    },
    errorOf,
  };
}

/** An error with its details, as both versions tell it (R165). */
export function errorOf(error: Parameters<Dialect["errorOf"]>[0]): RpcError {
  const { jsonRpc, message, details } = jsonError(error);
  return { code: jsonRpc, message, ...(details.length > 0 && { data: details }) };
}

/** What a name is answered with that nothing has; for those of version 0.2 it names the successor. */
export function notFound(method: string): RpcError {
  const successor = Object.hasOwn(successors, method) ? successors[method] : undefined;
  const message = `Method not found: ${successor === undefined ? `there is no "${method}"` : `"${method}" of A2A 0.2 became "${successor}"`}`;
  const metadata = { method, ...(successor !== undefined && { successor }) };
  const info = {
    "@type": "type.googleapis.com/google.rpc.ErrorInfo",
    reason: "METHOD_NOT_FOUND",
    domain: "a2a-task-manager",
    metadata,
  };
  return { code: rpcCodes.methodNotFound, message, data: [info] };
}

function rpcMethod(call: MethodImplSpec, gate: Admission): RpcMethod {
  const { method } = call;
  return {
    desc: method,
    isStream: call.kind === "server_streaming",
    async *run(params, context) {
      gate(context);
      const request = readJson(method.input, params);
      if (call.kind === "unary") yield { json: writeJson(method.output, await callUnary(call, request, context)) };
      else
        for await (const event of callStreaming(call, request, context))
          yield { json: writeJson(method.output, event), id: eventIdOf(event) };
    },
  };
}
