import { brotliCompressSync, gzipSync } from "node:zlib";
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import {
  type ConnectRouter,
  type ContextValues,
  createContextKey,
  createContextValues,
  type Interceptor,
} from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";
import { exchangeKey } from "../calls/exchange.ts";
import { connectErrorOf, describeRefusal } from "../errors/errors.ts";
import { workKey } from "../load/call-work.ts";
import { readBinary } from "../proto-binary/read-binary.ts";
import { parseJson, readJson } from "../proto-json/read-json.ts";
import { connectCompressions } from "../request-bounds/decompress.ts";
import { prefixBytes, tooLongPrefix } from "../request-bounds/message-prefix.ts";
import { requestTooLarge } from "../request-bounds/request-faults.ts";

type UniversalHandler = ConnectRouter["handlers"][number];
type UniversalRequest = Parameters<UniversalHandler>[0];
type Bytes = AsyncIterable<Uint8Array>;
type Format = "json" | "proto";

/** An empty message in both formats, plain and compressed. Connect decompresses no bytes to no bytes. */
const emptyJson = Buffer.from("{}");
const emptyMessages: Readonly<Record<Format, Readonly<Record<string, Buffer>>>> = {
  json: { identity: emptyJson, gzip: gzipSync(emptyJson), br: brotliCompressSync(emptyJson) },
  proto: {},
};
const noBytes = Buffer.alloc(0);

/** The headers that name the compression, by what stands before `+json`: for a unary Connect call nothing. */
const encodingHeaders: Readonly<Record<string, string>> = {
  "": "content-encoding",
  connect: "connect-content-encoding",
};

/** The message of a request, once it is read. */
const readMessage = createContextKey<{ readonly message?: Message } | undefined>(undefined);

/** The forms of a message: alone or in an envelope, with the format. gRPC and gRPC-Web may leave out protobuf's. */
const messageType = /^application\/(?:(?:(connect|grpc|grpc-web)\+)?(json|proto)\b|(grpc-web|grpc)\b)/i;

/**
 * The handler with requests read as the other bindings read them: decompressed and parsed once, by `readJson`, which
 * refuses unknown enum values and names fields at fault, or by `readBinary`. Both refuse too many values before they
 * parse. Connect gets an empty message in their place, and `takeReadMessage` puts the message into the call. The
 * messages of a client's stream pass untouched: they are read as they come.
 */
export function withReadMessage(handler: UniversalHandler, readBytesMax: number): UniversalHandler {
  const { protocolNames, service, method, requestPath, allowedMethods, supportedContentType } = handler;
  const isOne = hasOneMessage(method);
  const reading = (request: UniversalRequest) => {
    const { body, header } = request;
    const type = messageType.exec(header.get("content-type") ?? "");
    if (type === null || !isBytes(body) || !isOne) return handler(request);
    const form = (type[1] ?? type[3])?.toLowerCase();
    const format = type[2]?.toLowerCase() === "json" ? "json" : "proto";
    const wire = {
      format,
      isEnveloped: form !== undefined,
      encoding: header.get(encodingHeaders[form ?? ""] ?? "grpc-encoding"),
      promisedBytes: Number(header.get("content-length") ?? 0),
      readBytesMax,
    } as const;
    // Connect gets fewer bytes.
    header.delete("content-length");
    const contextValues = request.contextValues ?? createContextValues();
    const read: { message?: Message } = {};
    contextValues.set(readMessage, read);
    return handler({ ...request, contextValues, body: taken(body, method.input, wire, read, contextValues) });
  };
  return Object.assign(reading, { protocolNames, service, method, requestPath, allowedMethods, supportedContentType });
}

/** Whether a request of the method is one message, which is read as a whole. */
export function hasOneMessage({ methodKind }: DescMethod): boolean {
  return methodKind === "unary" || methodKind === "server_streaming";
}

/** Gives a call the message that was read. */
export const takeReadMessage: Interceptor = (next) => (request) => {
  const read = request.contextValues.get(readMessage);
  if (request.stream) return next({ ...request, message: eachTaken(request.message, read) });
  return next({ ...request, message: read?.message ?? request.message });
};

/**
 * The message is read when Connect has taken the empty message from the stream. Connect's own refusals are described
 * here: a deadline that came first has ended the signal, and `describeRefusals` with it.
 */
async function* eachTaken(messages: AsyncIterable<Message>, read: { readonly message?: Message } | undefined) {
  try {
    for await (const message of messages) yield read?.message ?? message;
  } catch (error) {
    describeRefusal(error);
    throw error;
  }
}

interface Wire {
  readonly format: Format;
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
  values: ContextValues,
): Bytes & AsyncGenerator<Uint8Array> {
  const whole = await allBytes(body, wire);
  try {
    await values.get(workKey)?.enter();
  } catch (error) {
    throw error instanceof TaskError ? connectErrorOf(error) : error;
  }
  values.get(exchangeKey)?.dropBody();
  const data = wire.isEnveloped ? firstMessage(whole) : whole;
  const isCompressed = !wire.isEnveloped || whole[0] === 1;
  const compression = isCompressed ? connectCompressions.find(({ name }) => name === wire.encoding) : undefined;
  // Connect refuses a message that is cut off, and a compressed one without the name of its compression.
  if (data === undefined || (wire.isEnveloped && isCompressed && compression === undefined)) return yield whole;
  const plain = compression === undefined ? data : await compression.decompress(data, wire.readBytesMax);
  try {
    read.message = wire.format === "json" ? readJson(schema, parseJson(plain)) : readBinary(schema, plain);
  } catch (error) {
    throw error instanceof TaskError ? connectErrorOf(error) : error;
  }
  const empty = emptyMessages[wire.format];
  if (!wire.isEnveloped) return yield empty[compression?.name ?? "identity"] ?? noBytes;
  const plainEmpty = empty.identity ?? noBytes;
  const prefix = Buffer.alloc(prefixBytes);
  prefix.writeUInt32BE(plainEmpty.byteLength, 1);
  yield Buffer.concat([prefix, plainEmpty, whole.subarray(prefixBytes + data.byteLength)]);
}

async function allBytes(body: Bytes, wire: Wire): Promise<Buffer<ArrayBuffer>> {
  const tooLarge = () => connectErrorOf(requestTooLarge());
  const bytesMax = wire.readBytesMax + (wire.isEnveloped ? prefixBytes : 0);
  if (wire.promisedBytes > bytesMax) throw tooLarge();
  const isTooLong = wire.isEnveloped ? tooLongPrefix(wire.readBytesMax) : () => false;
  const chunks: Uint8Array[] = [];
  let bytes = 0;
  for await (const chunk of body) {
    chunks.push(chunk);
    bytes += chunk.byteLength;
    if (bytes > bytesMax || isTooLong(chunk)) throw tooLarge();
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
