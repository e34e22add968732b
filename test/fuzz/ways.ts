import { brotliCompressSync, deflateSync, gzipSync } from "node:zlib";
import { type DescMethod, fromJson, type JsonObject, type JsonValue, toBinary } from "@bufbuild/protobuf";
import { methodsV03 } from "../../src/transport/json-rpc-v03/methods.ts";
import { restProtocol } from "../e2e/rest-client.ts";
import type { Random } from "./random.ts";
import type { Call, Json } from "./valid-calls.ts";

/** One HTTP request, before it is written. */
export interface HttpRequest {
  readonly version: 1 | 2;
  readonly verb: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: Uint8Array | undefined;
}

/** What the body of a request is made of, so that faults can be put into each layer. */
export interface Layers {
  readonly json: (request: Json) => Uint8Array;
  readonly binary: (message: Uint8Array) => Uint8Array;
  /** Gets the bytes once they are compressed. */
  readonly compressed: (bytes: Uint8Array) => Uint8Array;
  readonly frame: (bytes: Uint8Array, isCompressed: boolean) => Uint8Array;
}

/** A way to call the server. */
export interface Way {
  readonly name: string;
  /** The services that it is called for. */
  readonly services: "a2a" | "all";
  /** Whether the bytes on the wire are edited. Such inputs have a connection of their own. */
  readonly isRaw?: boolean;
  encode(call: Call, random: Random, layers: Layers): HttpRequest;
}

const encoders = { gzip: gzipSync, br: brotliCompressSync, deflate: deflateSync } as const;

export const validLayers: Layers = {
  json: (request) => Buffer.from(JSON.stringify(request)),
  binary: (bytes) => bytes,
  compressed: (bytes) => bytes,
  frame: framed,
};

/** A message as gRPC and Connect's streams send it: flags, length, bytes. */
export function framed(bytes: Uint8Array, isCompressed: boolean): Buffer {
  const prefix = Buffer.alloc(5);
  prefix.writeUInt8(isCompressed ? 1 : 0);
  prefix.writeUInt32BE(bytes.byteLength, 1);
  return Buffer.concat([prefix, bytes]);
}

const allEncodings = ["gzip", "br", "deflate"] as const;
const named = { "a2a-version": "1.0" };
const pathOf = ({ method }: Call) => `/${method.parent.typeName}/${method.name}`;
const isStream = ({ methodKind }: DescMethod) => methodKind === "server_streaming";
const anyVersion = (random: Random) => (random.chance(0.5) ? 1 : 2);

/** The request as protobuf, or in JSON: gRPC, gRPC-Web and Connect have both. */
function message({ method, request }: Call, isJson: boolean, layers: Layers): Uint8Array {
  if (isJson) return layers.json(request);
  return layers.binary(toBinary(method.input, fromJson(method.input, request as JsonValue)));
}

function framedWay(name: string, type: string, encodingHeader: string, extra: Readonly<Record<string, string>>): Way {
  return {
    name,
    services: "all",
    encode(call, random, layers) {
      const isJson = random.chance(0.3);
      const encoding = random.chance(0.15) ? random.pick(["gzip", "br"] as const) : undefined;
      const plain = message(call, isJson, layers);
      const bytes = encoding === undefined ? plain : layers.compressed(encoders[encoding](plain));
      const body = layers.frame(bytes, encoding !== undefined);
      const isGrpc = type === "application/grpc";
      return {
        version: isGrpc ? 2 : anyVersion(random),
        verb: "POST",
        path: pathOf(call),
        headers: {
          ...named,
          ...extra,
          "content-type": `${type}${isJson ? "+json" : isGrpc && random.chance(0.5) ? "" : "+proto"}`,
          ...(encoding !== undefined && { [encodingHeader]: encoding }),
        },
        body,
      };
    },
  };
}

const grpc = framedWay("gRPC", "application/grpc", "grpc-encoding", { te: "trailers" });
const grpcWeb = framedWay("gRPC-Web", "application/grpc-web", "grpc-encoding", { "x-grpc-web": "1" });
const connectFrames = framedWay("Connect stream", "application/connect", "connect-content-encoding", {
  "connect-protocol-version": "1",
});

/** Connect has one form for unary methods and another for streams: a call of the other kind is made in its own form. */
const connectUnary: Way = {
  name: "Connect unary",
  services: "all",
  encode(call, random, layers) {
    if (isStream(call.method)) return connectFrames.encode(call, random, layers);
    const isJson = random.chance(0.5);
    return {
      version: anyVersion(random),
      verb: "POST",
      path: pathOf(call),
      ...compressed(
        message(call, isJson, layers),
        { ...named, "content-type": isJson ? "application/json" : "application/proto" },
        ["gzip", "br"],
        random,
        layers,
      ),
    };
  },
};

const connectStream: Way = {
  ...connectFrames,
  encode: (call, random, layers) => (isStream(call.method) ? connectFrames : connectUnary).encode(call, random, layers),
};

const httpJson: Way = {
  name: "HTTP+JSON",
  services: "all",
  encode({ method, request }, random, layers) {
    const { verb, path, body } = restProtocol.request(method, request as JsonObject);
    const headers = { ...named, ...(body !== undefined && { "content-type": "application/json" }) };
    const version = anyVersion(random);
    if (body === undefined) return { version, verb, path, headers };
    return { version, verb, path, ...compressed(layers.json(body as Json), headers, allEncodings, random, layers) };
  },
};

const jsonRpc: Way = {
  name: "JSON-RPC 1.0",
  services: "all",
  encode({ method, request }, random, layers) {
    const { typeName } = method.parent;
    const name = typeName === "lf.a2a.v1.A2AService" ? method.name : `${typeName}/${method.name}`;
    return rpcRequest(name, request, named, random, layers);
  },
};

/** The methods of 0.3 by the RPC of 1.0. */
const olderNames = new Map(Object.entries(methodsV03).map(([name, { rpc }]) => [rpc as string, name]));

const jsonRpcV03: Way = {
  name: "JSON-RPC 0.3",
  services: "a2a",
  encode({ method, request }, random, layers) {
    // 0.3 has no ListTasks: the nearest is to read one.
    const name = olderNames.get(method.localName) ?? "tasks/get";
    const params = olderNames.has(method.localName) ? request : { id: "none" };
    return rpcRequest(name, olderParams(params), {}, random, layers);
  },
};

function olderParams(request: Json): Json {
  const { message: sent, tenant: _, taskId, ...rest } = request;
  if (sent === undefined) return { ...rest, ...(taskId !== undefined && { id: taskId }) };
  const { parts, ...members } = sent as Json & { readonly parts: readonly Json[] };
  const older = parts.map(({ data, text, metadata }) => ({
    ...(data === undefined ? { kind: "text", text } : { kind: "data", data: { value: data } }),
    ...(metadata !== undefined && { metadata }),
  }));
  return { ...rest, message: { ...members, kind: "message", role: "user", parts: older } };
}

function rpcRequest(
  method: string,
  params: Json,
  headers: Readonly<Record<string, string>>,
  random: Random,
  layers: Layers,
): HttpRequest {
  const id = random.pick<unknown>([1, "a", null, 1.5, 2 ** 60]);
  const entry = { jsonrpc: "2.0", id, method, params };
  const isBatch = !/stream|subscribe|Watch/i.test(method) && random.chance(0.1);
  return {
    version: anyVersion(random),
    verb: "POST",
    path: "/",
    ...compressed(
      layers.json((isBatch ? [entry, entry] : entry) as Json),
      { ...headers, "content-type": "application/json" },
      allEncodings,
      random,
      layers,
    ),
  };
}

function compressed(
  bytes: Uint8Array,
  headers: Readonly<Record<string, string>>,
  encodings: readonly (keyof typeof encoders)[],
  random: Random,
  layers: Layers,
): Pick<HttpRequest, "headers" | "body"> {
  const encoding = random.chance(0.1) ? random.pick(encodings) : undefined;
  if (encoding === undefined) return { headers, body: bytes };
  return { headers: { ...headers, "content-encoding": encoding }, body: layers.compressed(encoders[encoding](bytes)) };
}

const several = [httpJson, jsonRpc, connectUnary, connectStream, grpcWeb];

/** Requests of the other ways, on a connection whose bytes are edited. */
const rawHttp1: Way = {
  name: "raw HTTP/1.1",
  services: "all",
  isRaw: true,
  encode: (call, random, layers) => ({ ...random.pick(several).encode(call, random, layers), version: 1 }),
};

const rawHttp2: Way = {
  name: "raw HTTP/2",
  services: "all",
  isRaw: true,
  encode: (call, random, layers) => ({ ...random.pick([...several, grpc]).encode(call, random, layers), version: 2 }),
};

export const ways: readonly Way[] = [
  grpc,
  grpcWeb,
  connectUnary,
  connectStream,
  httpJson,
  jsonRpc,
  jsonRpcV03,
  rawHttp1,
  rawHttp2,
];
