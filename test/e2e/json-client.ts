import {
  create,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { Code, ConnectError, type Transport } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";

/** How one call is asked over HTTP, and what is found in its answers. */
export interface JsonProtocol {
  request(
    method: DescMethod,
    input: JsonObject,
  ): { readonly verb: string; readonly path: string; readonly body?: JsonValue };
  /** The output of a call, or of one event; throws the error that it tells. */
  output(json: JsonObject): JsonValue;
}

/**
 * A client of Connect that speaks another protocol, with the same headers in every request: nothing of it is shared
 * with the server's adapters.
 */
export function jsonTransport(
  baseUrl: string,
  protocol: JsonProtocol,
  headers: Readonly<Record<string, string>>,
): Transport {
  async function open(
    method: DescMethod,
    input: JsonValue,
    accept: string,
    signal: AbortSignal | undefined,
  ): Promise<Response> {
    const { verb, path, body } = protocol.request(method, input as JsonObject);
    const sent = { ...headers, accept, ...(body !== undefined && { "content-type": "application/json" }) };
    const init = {
      method: verb,
      headers: sent,
      ...(body !== undefined && { body: JSON.stringify(body) }),
      ...(signal && { signal }),
    };
    return fetch(new URL(path, baseUrl), init);
  }

  /** The output of a whole answer, or its error, which has the answer's headers as a client of Connect finds them. */
  async function outputOf(response: Response): Promise<JsonValue> {
    try {
      return protocol.output((await response.json()) as JsonObject);
    } catch (error) {
      if (error instanceof ConnectError) for (const [name, value] of response.headers) error.metadata.set(name, value);
      throw error;
    }
  }

  return {
    async unary(method, signal, _timeoutMs, _header, input) {
      const response = await open(method, jsonOf(method.input, input), "application/json", signal);
      const message = read(method.output, await outputOf(response));
      return {
        stream: false,
        service: method.parent,
        method,
        header: response.headers,
        trailer: new Headers(),
        message,
      };
    },

    async stream(method, signal, _timeoutMs, _header, input) {
      let request: JsonValue = {};
      for await (const message of input) request = jsonOf(method.input, message);
      const response = await open(method, request, "text/event-stream", signal);
      const isStream = response.headers.get("content-type") === "text/event-stream";
      // A stream that is refused is answered like any other call, and that throws here.
      if (!isStream) await outputOf(response);
      async function* events() {
        for await (const data of dataOf(response)) yield read(method.output, protocol.output(JSON.parse(data)));
      }
      return {
        stream: true,
        service: method.parent,
        method,
        header: response.headers,
        trailer: new Headers(),
        message: events(),
      };
    },
  };
}

function jsonOf<Desc extends DescMessage>(schema: Desc, init: MessageInitShape<Desc>): JsonValue {
  return toJson(schema, create(schema, init));
}

function read<Desc extends DescMessage>(schema: Desc, json: JsonValue): MessageShape<Desc> {
  return fromJson(schema, json);
}

/** What stands after `data:`, event for event. */
async function* dataOf(response: Response): AsyncGenerator<string> {
  let left = "";
  for await (const text of (response.body ?? new ReadableStream()).pipeThrough(new TextDecoderStream())) {
    const blocks = (left + text).split("\n\n");
    left = blocks.pop() ?? "";
    for (const line of blocks.flatMap((block) => block.split("\n")))
      if (line.startsWith("data: ")) yield line.slice("data: ".length);
  }
}

const detailTypes = [ErrorInfoSchema, BadRequestSchema] as const;

/** An error with the details that stand in JSON beside it. */
export function errorWith(message: string, code: Code, details: readonly JsonObject[]): ConnectError {
  const error = new ConnectError(message, code);
  for (const { "@type": type, ...json } of details) {
    const desc = detailTypes.find(({ typeName }) => type === `type.googleapis.com/${typeName}`);
    if (desc === undefined) throw new Error(`An error has a detail of the unknown type ${type}`);
    error.details.push({ desc, value: fromJson(desc, json) });
  }
  return error;
}

/** gRPC's names of codes. */
export const codes: Readonly<Record<string, Code>> = {
  INVALID_ARGUMENT: Code.InvalidArgument,
  NOT_FOUND: Code.NotFound,
  ALREADY_EXISTS: Code.AlreadyExists,
  RESOURCE_EXHAUSTED: Code.ResourceExhausted,
  FAILED_PRECONDITION: Code.FailedPrecondition,
  OUT_OF_RANGE: Code.OutOfRange,
  INTERNAL: Code.Internal,
  UNAVAILABLE: Code.Unavailable,
  DATA_LOSS: Code.DataLoss,
};
