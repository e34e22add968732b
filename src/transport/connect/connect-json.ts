import type { DescMessage } from "@bufbuild/protobuf";
import type { ConnectRouter } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { invalidRequest, TaskError } from "../../domain/task-error.ts";
import { connectErrorOf } from "../errors/errors.ts";
import { enumFaults } from "../proto-json/enum-faults.ts";

type UniversalHandler = ConnectRouter["handlers"][number];
type UniversalRequest = Parameters<UniversalHandler>[0];
type Bytes = AsyncIterable<Uint8Array>;

const compressions = [compressionGzip, compressionBrotli];
/** Flags and length before each message of a stream, and of gRPC. */
const prefixBytes = 5;

/**
 * The handler with requests in JSON as strict on enums as the other JSON bindings are: Connect's reader ignores unknown
 * names of enums together with unknown fields (trap 21). What else is wrong with a request, it goes on telling itself;
 * binary requests pass untouched.
 */
export function withStrictEnums(handler: UniversalHandler, readBytesMax: number): UniversalHandler {
  const { protocolNames, service, method, requestPath, allowedMethods, supportedContentType } = handler;
  const strict = (request: UniversalRequest) => {
    const type = request.header.get("content-type") ?? "";
    const { body } = request;
    if (!/^application\/(?:(?:connect|grpc|grpc-web)\+)?json\b/i.test(type) || !isBytes(body)) return handler(request);
    const isEnveloped = type.includes("+");
    const encoding = ["content-encoding", "connect-content-encoding", "grpc-encoding"]
      .map((name) => request.header.get(name))
      .find((value) => value !== null);
    return handler({ ...request, body: checked(body, method.input, { isEnveloped, encoding, readBytesMax }) });
  };
  return Object.assign(strict, { protocolNames, service, method, requestPath, allowedMethods, supportedContentType });
}

interface Wire {
  readonly isEnveloped: boolean;
  readonly encoding: string | null | undefined;
  readonly readBytesMax: number;
}

/** Reads when Connect reads, so that its checks of headers come first; what it throws, Connect tells. */
async function* checked(body: Bytes, schema: DescMessage, wire: Wire): Bytes & AsyncGenerator<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > wire.readBytesMax + prefixBytes)
      throw connectErrorOf(new TaskError("TOO_LARGE", "The request is larger than requests may be"));
  }
  const whole = Buffer.concat(chunks, bytes);
  const json = await jsonOf(whole, wire);
  const faults = json === undefined ? [] : enumFaults(schema, json);
  if (faults.length > 0) throw connectErrorOf(invalidRequest(faults));
  yield whole;
}

/** The one message of a request; undefined if it can't be read, which is for Connect to say. */
async function jsonOf(whole: Buffer, { isEnveloped, encoding, readBytesMax }: Wire) {
  try {
    const message = isEnveloped ? whole.subarray(prefixBytes) : whole;
    const compression = isEnveloped && whole[0] === 0 ? undefined : compressions.find(({ name }) => name === encoding);
    const plain = compression === undefined ? message : await compression.decompress(message, readBytesMax);
    return JSON.parse(Buffer.from(plain).toString("utf8"));
  } catch {
    return undefined;
  }
}

function isBytes(body: UniversalRequest["body"]): body is Bytes {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}
