import { brotliCompressSync, gzipSync } from "node:zlib";
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { type ConnectRouter, createContextKey, createContextValues, type Interceptor } from "@connectrpc/connect";
import { compressionBrotli, compressionGzip } from "@connectrpc/connect-node";
import { TaskError } from "../../domain/task-error.ts";
import { connectErrorOf } from "../errors/errors.ts";
import { parseJson, readJson } from "../proto-json/read-json.ts";

type UniversalHandler = ConnectRouter["handlers"][number];
type UniversalRequest = Parameters<UniversalHandler>[0];
type Bytes = AsyncIterable<Uint8Array>;

const empty = Buffer.from("{}");
/** How requests are compressed, with the empty object in that form. */
const compressions = [
  { ...compressionGzip, empty: gzipSync(empty) },
  { ...compressionBrotli, empty: brotliCompressSync(empty) },
];
/** Flags and length before each message of a stream, and of gRPC. */
const prefixBytes = 5;

/** The headers that name the compression, by what stands before `+json`: for a unary Connect call nothing. */
const encodingHeaders: Readonly<Record<string, string>> = {
  "": "content-encoding",
  connect: "connect-content-encoding",
};

/** The message of a request in JSON, once it is read. */
const readMessage = createContextKey<{ readonly message?: Message } | undefined>(undefined);

/**
 * The handler with requests in JSON read as the other JSON bindings read them: decompressed and parsed once, by
 * `readJson`, which refuses unknown enum values and names fields at fault. Connect gets an empty object in their place,
 * and `takeReadMessage` puts the message into the call. Binary requests pass untouched.
 */
export function withReadJson(handler: UniversalHandler, readBytesMax: number): UniversalHandler {
  const { protocolNames, service, method, requestPath, allowedMethods, supportedContentType } = handler;
  const reading = (request: UniversalRequest) => {
    const { body, header } = request;
    const [isJson, form] =
      /^application\/(?:(connect|grpc|grpc-web)\+)?json\b/i.exec(header.get("content-type") ?? "") ?? [];
    if (isJson === undefined || !isBytes(body)) return handler(request);
    const wire = {
      isEnveloped: form !== undefined,
      encoding: header.get(encodingHeaders[form?.toLowerCase() ?? ""] ?? "grpc-encoding"),
      promisedBytes: Number(header.get("content-length") ?? 0),
      readBytesMax,
    };
    // Connect gets fewer bytes.
    header.delete("content-length");
    const contextValues = request.contextValues ?? createContextValues();
    const read: { message?: Message } = {};
    contextValues.set(readMessage, read);
    return handler({ ...request, contextValues, body: taken(body, method.input, wire, read) });
  };
  return Object.assign(reading, { protocolNames, service, method, requestPath, allowedMethods, supportedContentType });
}

/** Gives a call the message that was read from JSON. */
export const takeReadMessage: Interceptor = (next) => (request) => {
  const read = request.contextValues.get(readMessage);
  if (read === undefined) return next(request);
  if (request.stream) return next({ ...request, message: eachTaken(request.message, read) });
  return next({ ...request, message: read.message ?? request.message });
};

/** The message is read when Connect has taken the empty object from the stream. */
async function* eachTaken(messages: AsyncIterable<Message>, read: { readonly message?: Message }) {
  for await (const message of messages) yield read.message ?? message;
}

interface Wire {
  readonly isEnveloped: boolean;
  readonly encoding: string | null;
  readonly promisedBytes: number;
  readonly readBytesMax: number;
}

/** Reads when Connect reads: it has checked the headers by then. Connect answers with the error that this throws. */
async function* taken(
  body: Bytes,
  schema: DescMessage,
  wire: Wire,
  read: { message?: Message },
): Bytes & AsyncGenerator<Uint8Array> {
  const whole = await allBytes(body, wire);
  const data = wire.isEnveloped ? firstMessage(whole) : whole;
  const isCompressed = !wire.isEnveloped || whole[0] === 1;
  const compression = isCompressed ? compressions.find(({ name }) => name === wire.encoding) : undefined;
  // Connect refuses a message that is cut off, and a compressed one without the name of its compression.
  if (data === undefined || (wire.isEnveloped && isCompressed && compression === undefined)) return yield whole;
  const plain = compression === undefined ? data : await compression.decompress(data, wire.readBytesMax);
  try {
    read.message = readJson(schema, parseJson(plain));
  } catch (error) {
    throw error instanceof TaskError ? connectErrorOf(error) : error;
  }
  if (!wire.isEnveloped) return yield compression?.empty ?? empty;
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(empty.byteLength, 1);
  yield Buffer.concat([prefix, empty, whole.subarray(prefixBytes + data.byteLength)]);
}

async function allBytes(body: Bytes, wire: Wire): Promise<Buffer<ArrayBuffer>> {
  const tooLarge = () => connectErrorOf(new TaskError("TOO_LARGE", "The request is larger than requests may be"));
  const bytesMax = wire.readBytesMax + (wire.isEnveloped ? prefixBytes : 0);
  if (wire.promisedBytes > bytesMax) throw tooLarge();
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > bytesMax) throw tooLarge();
  }
  return Buffer.concat(chunks, bytes);
}

/** The bytes after the first prefix. Its only defined flag is "compressed". */
function firstMessage(whole: Buffer<ArrayBuffer>): Buffer<ArrayBuffer> | undefined {
  const [flags = 0] = whole;
  if (whole.byteLength < prefixBytes || flags > 1) return undefined;
  const end = prefixBytes + whole.readUInt32BE(1);
  return end > whole.byteLength ? undefined : whole.subarray(prefixBytes, end);
}

function isBytes(body: UniversalRequest["body"]): body is Bytes {
  return typeof body === "object" && body !== null && Symbol.asyncIterator in body;
}
