import {
  create,
  type DescEnum,
  type DescExtension,
  type DescFile,
  type DescMessage,
  type DescService,
  fromBinary,
  type MessageInitShape,
  toBinary,
} from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type ServerReflection,
  type ServerReflectionRequest,
  ServerReflectionRequestSchema,
  type ServerReflectionResponse,
  ServerReflectionResponseSchema,
} from "../../../gen/grpc/reflection/v1/reflection_pb.ts";
import {
  ServerReflectionRequestSchema as AlphaRequestSchema,
  ServerReflectionResponseSchema as AlphaResponseSchema,
  type ServerReflection as AlphaServerReflection,
} from "../../../gen/grpc/reflection/v1alpha/reflection_pb.ts";

/**
 * Questions on one stream: more than there are names. A client that asks more ignores the answers, of which each has
 * all files that the asked one depends on.
 */
const questionsMax = 1_000;

type Answer = NonNullable<MessageInitShape<typeof ServerReflectionResponseSchema>["messageResponse"]>;

/**
 * `grpc.reflection`, v1 and v1alpha, over the descriptors of these services, for clients without protos such as
 * grpcurl. The two versions are the same on the wire. Every answer has all dependencies of a file, so nothing is kept
 * for a stream and a client may ask again. `others` are files that no service refers to, such as error details. An
 * answer waits until the one before it is written, so a client that doesn't read holds no answers.
 */
export function reflectionServices(
  services: readonly DescService[],
  others: readonly DescFile[] = [],
): {
  readonly v1: ServiceImpl<typeof ServerReflection>;
  readonly v1alpha: ServiceImpl<typeof AlphaServerReflection>;
} {
  const index = new DescriptorIndex(services, others);
  const answer = (request: ServerReflectionRequest): ServerReflectionResponse =>
    create(ServerReflectionResponseSchema, {
      validHost: request.host,
      originalRequest: request,
      messageResponse: index.answer(request),
    });
  return {
    v1: {
      async *serverReflectionInfo(questions, { signal }) {
        for await (const question of bounded(questions, signal)) yield answer(question);
      },
    },
    v1alpha: {
      async *serverReflectionInfo(questions, { signal }) {
        for await (const question of bounded(questions, signal)) {
          const asked = fromBinary(ServerReflectionRequestSchema, toBinary(AlphaRequestSchema, question));
          yield fromBinary(AlphaResponseSchema, toBinary(ServerReflectionResponseSchema, answer(asked)));
        }
      },
    },
  };
}

/** The questions until the client ends its side or the call ends: an open stream must not keep the server. */
async function* bounded<T>(questions: AsyncIterable<T>, signal: AbortSignal): AsyncGenerator<T> {
  const iterator = questions[Symbol.asyncIterator]();
  const aborted = new Promise<never>((_, reject) =>
    signal.addEventListener("abort", () => reject(signal.reason), { once: true }),
  );
  aborted.catch(() => undefined);
  for (let asked = 0; ; asked++) {
    const next = await Promise.race([iterator.next(), aborted]);
    if (next.done) return;
    if (asked === questionsMax)
      throw new ConnectError(`At most ${questionsMax} questions on one stream`, Code.ResourceExhausted);
    yield next.value;
  }
}

/** The files that declare what the services are made of, by every name. */
class DescriptorIndex {
  readonly #services: readonly string[];
  readonly #files = new Map<string, DescFile>();
  /**
   * By full name: messages with their fields and oneofs, enums with their values, services with their methods,
   * extensions.
   */
  readonly #symbols = new Map<string, DescFile>();
  readonly #extensions = new Map<string, Map<number, DescFile>>();

  constructor(services: readonly DescService[], others: readonly DescFile[]) {
    this.#services = services.map(({ typeName }) => typeName).toSorted();
    for (const file of [...services.map((service) => service.file), ...others]) this.#addFile(file);
  }

  answer({ messageRequest: { case: asked, value } }: ServerReflectionRequest): Answer {
    switch (asked) {
      case "listServices":
        return { case: "listServicesResponse", value: { service: this.#services.map((name) => ({ name })) } };
      case "fileByFilename":
        return filesResponse(this.#files.get(value), `file "${value}"`);
      case "fileContainingSymbol":
        return filesResponse(this.#symbols.get(value), `symbol "${value}"`);
      case "fileContainingExtension": {
        const { containingType, extensionNumber } = value;
        return filesResponse(
          this.#extensions.get(containingType)?.get(extensionNumber),
          `extension ${extensionNumber} of "${containingType}"`,
        );
      }
      case "allExtensionNumbersOfType": {
        if (!this.#symbols.has(value)) return errorResponse(Code.NotFound, `No type "${value}" here`);
        const numbers = [...(this.#extensions.get(value)?.keys() ?? [])];
        return {
          case: "allExtensionNumbersResponse",
          value: { baseTypeName: value, extensionNumber: numbers.toSorted((a, b) => a - b) },
        };
      }
      case undefined:
        return errorResponse(Code.InvalidArgument, "The request has none of the known queries");
      default:
        return asked satisfies never;
    }
  }

  #addFile(file: DescFile): void {
    if (this.#files.has(file.proto.name)) return;
    this.#files.set(file.proto.name, file);
    for (const message of file.messages) this.#addMessage(file, message);
    for (const desc of file.enums) this.#addEnum(file, desc);
    for (const extension of file.extensions) this.#addExtension(file, extension);
    for (const service of file.services) {
      this.#symbols.set(service.typeName, file);
      for (const method of service.methods) this.#symbols.set(`${service.typeName}.${method.name}`, file);
    }
    for (const dependency of file.dependencies) this.#addFile(dependency);
  }

  #addMessage(file: DescFile, message: DescMessage): void {
    this.#symbols.set(message.typeName, file);
    for (const member of [...message.fields, ...message.oneofs])
      this.#symbols.set(`${message.typeName}.${member.name}`, file);
    for (const nested of message.nestedMessages) this.#addMessage(file, nested);
    for (const desc of message.nestedEnums) this.#addEnum(file, desc);
    for (const extension of message.nestedExtensions) this.#addExtension(file, extension);
  }

  #addEnum(file: DescFile, desc: DescEnum): void {
    this.#symbols.set(desc.typeName, file);
    // Values are named in the scope that the enum itself is named in.
    const scope = desc.typeName.slice(0, desc.typeName.lastIndexOf(".") + 1);
    for (const { name } of desc.values) this.#symbols.set(scope + name, file);
  }

  #addExtension(file: DescFile, { typeName, extendee, number }: DescExtension): void {
    this.#symbols.set(typeName, file);
    const known = this.#extensions.get(extendee.typeName) ?? new Map<number, DescFile>();
    this.#extensions.set(extendee.typeName, known.set(number, file));
  }
}

/** A file and all its dependencies, each once. */
function filesResponse(file: DescFile | undefined, what: string): Answer {
  if (file === undefined) return errorResponse(Code.NotFound, `No ${what} here`);
  const files = new Set([file]);
  // The loop also visits the files that are added meanwhile.
  for (const { dependencies } of files) for (const dependency of dependencies) files.add(dependency);
  return {
    case: "fileDescriptorResponse",
    value: { fileDescriptorProto: [...files].map(fileBytes) },
  };
}

/** Files as they are sent. They are encoded once: a client may ask for all of them again with a few bytes. */
const encodedFiles = new WeakMap<DescFile, Uint8Array>();

function fileBytes(file: DescFile): Uint8Array {
  let bytes = encodedFiles.get(file);
  if (bytes === undefined) {
    bytes = toBinary(FileDescriptorProtoSchema, file.proto);
    encodedFiles.set(file, bytes);
  }
  return bytes;
}

function errorResponse(errorCode: Code, errorMessage: string): Answer {
  return { case: "errorResponse", value: { errorCode, errorMessage } };
}
