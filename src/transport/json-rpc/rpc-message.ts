import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { isJsonObject } from "../proto-json/json-value.ts";

/** An id as JSON text, to be sent back unchanged. */
export type RpcId = string;
export const noId: RpcId = "null";

/** One request of JSON-RPC 2.0. */
export type RpcEntry =
  | {
      readonly kind: "call";
      /** Undefined for a notification, which gets no answer. */
      readonly id: RpcId | undefined;
      readonly method: string;
      readonly params: JsonObject;
    }
  | { readonly kind: "faulty"; readonly id: RpcId; readonly error: RpcError };

/** An error object of JSON-RPC. `data` is a list of objects that name their types (R165). */
export interface RpcError {
  readonly code: number;
  readonly message: string;
  readonly data?: readonly JsonObject[];
}

/** The codes of JSON-RPC itself (R164). */
export const rpcCodes = {
  parse: -32700,
  invalidRequest: -32600,
  methodNotFound: -32601,
  invalidParams: -32602,
} as const;

/**
 * Reads a request, alone or from a batch. Absent params are taken as empty. `digits` is the id as it was written if it
 * is a number that JavaScript rounds.
 */
export function readEntry(json: JsonValue, digits?: string): RpcEntry {
  if (!isJsonObject(json))
    return faulty(noId, rpcCodes.invalidRequest, "Request payload validation error: a request is an object");
  const { jsonrpc, id, method, params } = json;
  const isId = typeof id === "string" || typeof id === "number" || id === null;
  const known = isId ? (digits ?? JSON.stringify(id)) : noId;
  if (!isId && id !== undefined)
    return faulty(noId, rpcCodes.invalidRequest, 'Request payload validation error: "id" is a text, a number or null');
  if (jsonrpc !== "2.0")
    return faulty(known, rpcCodes.invalidRequest, 'Request payload validation error: "jsonrpc" is "2.0"');
  if (typeof method !== "string")
    return faulty(known, rpcCodes.invalidRequest, 'Request payload validation error: "method" is a text');
  if (Array.isArray(params))
    return faulty(known, rpcCodes.invalidParams, 'Invalid parameters: "params" is an object, with parameters by name');
  if (params !== undefined && params !== null && !isJsonObject(params)) {
    return faulty(known, rpcCodes.invalidRequest, 'Request payload validation error: "params" is an object');
  }
  return { kind: "call", id: isId ? known : undefined, method, params: params ?? {} };
}

function faulty(id: RpcId, code: number, message: string): RpcEntry {
  return { kind: "faulty", id, error: { code, message } };
}

/** A whole response as text, around the text of a result. The id keeps its type. */
export function resultText(id: RpcId, result: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result}}`;
}

export function errorText(id: RpcId, error: RpcError): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(error)}}`;
}
