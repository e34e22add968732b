import type { JsonObject, JsonValue } from "@bufbuild/protobuf";

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
 * Reads a request, alone or from a batch. Absent params are taken as empty. `digits` is the id as it was written if it is
 * a number that JavaScript rounds.
 */
export function readEntry(json: JsonValue, digits?: string): RpcEntry {
  if (!isObject(json))
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
  if (params !== undefined && params !== null && !isObject(params)) {
    return faulty(known, rpcCodes.invalidRequest, 'Request payload validation error: "params" is an object');
  }
  return { kind: "call", id: isId ? known : undefined, method, params: params ?? {} };
}

/**
 * The ids of a request or a batch that JavaScript would give back as other numbers, such as integers of 64 bits, as
 * they were written; by the place in the batch. Most bodies have none, and aren't read again.
 */
export function exactIds(bytes: Uint8Array, json: JsonValue): ReadonlyMap<number, string> {
  const ids = new Map<number, string>();
  if (!listed(json).some((entry) => isObject(entry) && typeof entry.id === "number" && !Number.isSafeInteger(entry.id)))
    return ids;
  const written = new Map<unknown, string>();
  const reviver = function (this: unknown, name: string, value: unknown, context: { readonly source?: string }) {
    if (name === "id" && typeof value === "number" && context.source !== undefined) written.set(this, context.source);
    return value;
  };
  // The third argument isn't in the language's types yet.
  const again = JSON.parse(
    new TextDecoder().decode(bytes),
    reviver as (this: unknown, name: string, value: unknown) => unknown,
  ) as JsonValue;
  for (const [place, entry] of listed(again).entries()) {
    const id = written.get(entry);
    if (id !== undefined) ids.set(place, id);
  }
  return ids;
}

function listed(json: JsonValue): readonly JsonValue[] {
  return Array.isArray(json) ? json : [json];
}

function faulty(id: RpcId, code: number, message: string): RpcEntry {
  return { kind: "faulty", id, error: { code, message } };
}

function isObject(json: JsonValue | undefined): json is JsonObject {
  return typeof json === "object" && json !== null && !Array.isArray(json);
}

/** A whole response as text, around the text of a result. The id keeps its type. */
export function resultText(id: RpcId, result: string): string {
  return `{"jsonrpc":"2.0","id":${id},"result":${result}}`;
}

export function errorText(id: RpcId, error: RpcError): string {
  return `{"jsonrpc":"2.0","id":${id},"error":${JSON.stringify(error)}}`;
}
