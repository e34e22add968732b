import { join } from "node:path";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema, FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import {
  type ClientDuplexStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  status,
} from "@grpc/grpc-js";
import { loadFileDescriptorSetFromBuffer, loadSync } from "@grpc/proto-loader";
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";

/** Reflection as the protocol's own clients see it: grpc-js, and the protos of gRPC's reflection package. */

let server: Server;

beforeAll(async () => {
  server = await createServer({ processor: demoProcessor, storage: createMemoryStorage(), listener: { port: 0 } });
  await server.listen();
});

afterAll(async () => {
  await server[Symbol.asyncDispose]();
});

const protos = join(import.meta.dirname, "../../../node_modules/@grpc/reflection/build/proto");

interface Answer {
  readonly valid_host: string;
  readonly original_request: Record<string, unknown>;
  readonly message_response: string;
  readonly file_descriptor_response?: { readonly file_descriptor_proto: readonly Buffer[] };
  readonly all_extension_numbers_response?: {
    readonly base_type_name: string;
    readonly extension_number: readonly number[];
  };
  readonly list_services_response?: { readonly service: readonly { readonly name: string }[] };
  readonly error_response?: { readonly error_code: number; readonly error_message: string };
}

function connect(version: string) {
  const loaded = loadPackageDefinition(
    loadSync(join(protos, `grpc/reflection/${version}/reflection.proto`), {
      keepCase: true,
      oneofs: true,
      defaults: true,
    }),
  );
  const { [version]: found } = (
    loaded as unknown as { grpc: { reflection: Record<string, { ServerReflection: ServiceClientConstructor }> } }
  ).grpc.reflection;
  if (found === undefined) throw new Error(`No version ${version}`);
  const client = new found.ServerReflection(server.url.host, credentials.createInsecure());
  onTestFinished(() => client.close());
  const stream = (client.serverReflectionInfo as () => ClientDuplexStream<object, Answer>).call(client);
  return {
    stream,
    ask(question: object): Promise<Answer> {
      return new Promise((resolve, reject) => {
        stream.once("data", resolve);
        stream.once("error", reject);
        stream.write(question);
      });
    },
  };
}

/** The answer's files, by name. */
function filesIn(answer: Answer): Map<string, Buffer> {
  return new Map(
    (answer.file_descriptor_response?.file_descriptor_proto ?? []).map((bytes) => [
      fromBinary(FileDescriptorProtoSchema, bytes).name,
      bytes,
    ]),
  );
}

const served = [
  "grpc.health.v1.Health",
  "grpc.reflection.v1.ServerReflection",
  "grpc.reflection.v1alpha.ServerReflection",
  "lf.a2a.v1.A2AService",
  "taskmanager.v1.ConversationService",
  "taskmanager.v1.TaskManagerService",
];

describe.each(["v1", "v1alpha"])("reflection %s", (version) => {
  it("lists the services, on a stream that goes on", async () => {
    const { stream, ask } = connect(version);
    for (let round = 0; round < 3; round++) {
      const answer = await ask({ host: "here", list_services: "*" });
      expect(answer.list_services_response?.service.map(({ name }) => name)).toEqual(served);
      expect(answer).toMatchObject({ valid_host: "here", original_request: { host: "here", list_services: "*" } });
    }
    const ended = new Promise((resolve) => stream.once("end", resolve));
    stream.end();
    await ended;
  });

  it.each([
    ["a service", "lf.a2a.v1.A2AService", "lf/a2a/v1/a2a.proto"],
    ["a method", "lf.a2a.v1.A2AService.SendMessage", "lf/a2a/v1/a2a.proto"],
    ["a message", "lf.a2a.v1.Task", "lf/a2a/v1/a2a.proto"],
    ["a field", "lf.a2a.v1.Task.status", "lf/a2a/v1/a2a.proto"],
    ["a oneof", "lf.a2a.v1.Part.content", "lf/a2a/v1/a2a.proto"],
    ["an enum", "lf.a2a.v1.TaskState", "lf/a2a/v1/a2a.proto"],
    ["an enum's value, in the scope of the enum", "lf.a2a.v1.TASK_STATE_WORKING", "lf/a2a/v1/a2a.proto"],
    ["a nested enum's value", "grpc.health.v1.HealthCheckResponse.SERVING", "health/v1/health.proto"],
    ["an extension", "google.api.http", "google/api/annotations.proto"],
    ["a dependency of a dependency", "google.protobuf.FileDescriptorProto", "google/protobuf/descriptor.proto"],
    ["the details of errors", "google.rpc.ErrorInfo", "google/rpc/error_details.proto"],
    ["itself", `grpc.reflection.${version}.ServerReflection`, `grpc/reflection/${version}/reflection.proto`],
  ])("finds the file of %s, and with it all that it needs", async (_, symbol, file) => {
    const { ask } = connect(version);
    const bySymbol = await ask({ file_containing_symbol: symbol });
    const files = filesIn(bySymbol);
    expect([...files.keys()][0]).toBe(file);
    const missing = [...files.values()]
      .flatMap((bytes) => fromBinary(FileDescriptorProtoSchema, bytes).dependency)
      .filter((name) => !files.has(name));
    expect(missing).toEqual([]);
    expect(filesIn(await ask({ file_by_filename: file }))).toEqual(files);
  });

  it("knows extensions, by number and all of a type", async () => {
    const { ask } = connect(version);
    const numbers = await ask({ all_extension_numbers_of_type: "google.protobuf.MethodOptions" });
    expect(numbers.all_extension_numbers_response?.base_type_name).toBe("google.protobuf.MethodOptions");
    expect(numbers.all_extension_numbers_response?.extension_number).toContain(72295728);
    const file = await ask({
      file_containing_extension: { containing_type: "google.protobuf.MethodOptions", extension_number: 72295728 },
    });
    expect([...filesIn(file).keys()][0]).toBe("google/api/annotations.proto");
    expect(
      (await ask({ all_extension_numbers_of_type: "lf.a2a.v1.Task" })).all_extension_numbers_response?.extension_number,
    ).toEqual([]);
  });

  it.each([
    ["a file", { file_by_filename: "nothing.proto" }, status.NOT_FOUND],
    ["a symbol", { file_containing_symbol: "lf.a2a.v1.Nothing" }, status.NOT_FOUND],
    [
      "an extension",
      { file_containing_extension: { containing_type: "lf.a2a.v1.Task", extension_number: 1 } },
      status.NOT_FOUND,
    ],
    ["the extensions of a type", { all_extension_numbers_of_type: "lf.a2a.v1.Nothing" }, status.NOT_FOUND],
    ["nothing", {}, status.INVALID_ARGUMENT],
  ])("answers with the protocol's own error where it is asked for %s that isn't there, and goes on", async (_, question, code) => {
    const { ask } = connect(version);
    const answer = await ask(question);
    expect([answer.message_response, answer.error_response?.error_code]).toEqual(["error_response", code]);
    expect((await ask({ list_services: "" })).list_services_response?.service).toHaveLength(served.length);
  });

  it("refuses a question that is longer than any name", async () => {
    const { ask } = connect(version);
    await expect(ask({ file_containing_symbol: "x".repeat(20_000) })).rejects.toMatchObject({
      code: status.RESOURCE_EXHAUSTED,
    });
  });

  it("is enough for a client without protos to make calls", async () => {
    const { ask } = connect(version);
    const services = (await ask({ list_services: "*" })).list_services_response?.service.map(({ name }) => name) ?? [];
    const name = services.find((service) => service.endsWith("A2AService")) ?? "";
    const file = [...filesIn(await ask({ file_containing_symbol: name })).values()].map((bytes) =>
      fromBinary(FileDescriptorProtoSchema, bytes),
    );
    const definition = loadFileDescriptorSetFromBuffer(
      Buffer.from(toBinary(FileDescriptorSetSchema, create(FileDescriptorSetSchema, { file }))),
      {
        enums: String,
        oneofs: true,
      },
    );
    const loaded = loadPackageDefinition(definition) as unknown as {
      lf: { a2a: { v1: { A2AService: ServiceClientConstructor } } };
    };
    const client = new loaded.lf.a2a.v1.A2AService(server.url.host, credentials.createInsecure());
    onTestFinished(() => client.close());
    const send = client.SendMessage as (
      request: object,
      metadata: Metadata,
      done: (error: Error | null, answer: unknown) => void,
    ) => void;
    const metadata = new Metadata();
    metadata.set("A2A-Version", "1.0");
    const message = { message_id: crypto.randomUUID(), role: "ROLE_USER", parts: [{ text: "hello" }] };
    const answer = await new Promise((resolve, reject) =>
      send.call(client, { message }, metadata, (error, value) => (error ? reject(error) : resolve(value))),
    );
    expect(answer).toMatchObject({
      task: { status: { state: "TASK_STATE_COMPLETED" }, artifacts: [{ parts: [{ text: "hello" }] }] },
    });
  });
});

it("a stream that is left open doesn't keep the server", async () => {
  const own = await createServer({ processor: demoProcessor, storage: createMemoryStorage(), listener: { port: 0 } });
  await own.listen();
  const shared = server;
  server = own;
  try {
    const { stream, ask } = connect("v1");
    await ask({ list_services: "" });
    const ended = new Promise<{ readonly code?: number }>((resolve) => stream.once("error", resolve));
    await own.drain();
    expect((await ended).code).toBe(status.UNAVAILABLE);
  } finally {
    server = shared;
  }
});
