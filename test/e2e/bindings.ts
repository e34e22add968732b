import { type Client, Code, ConnectError, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { Health } from "../../gen/health/v1/health_pb.ts";
import { A2AService } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { ConversationService } from "../../gen/taskmanager/v1/conversation_pb.ts";
import { TaskManagerService } from "../../gen/taskmanager/v1/task_manager_pb.ts";
import { jsonFieldPath } from "../../src/transport/proto-json/json-path.ts";
import { type JsonProtocol, jsonTransport } from "./json-client.ts";
import { restProtocol } from "./rest-client.ts";
import { rpcProtocol } from "./rpc-client.ts";

/** All services over one binding. */
export interface Clients {
  readonly a2a: Client<typeof A2AService>;
  readonly tasks: Client<typeof TaskManagerService>;
  readonly conversations: Client<typeof ConversationService>;
  readonly health: Client<typeof Health>;
}

export interface Binding {
  readonly name: string;
  /** A2A's bindings in JSON have no deadlines. */
  readonly hasDeadlines: boolean;
  connect(baseUrl: string, headers?: Headers): Clients;
}

/** Headers that every request carries; `{}` for a client that doesn't even name the version. */
export type Headers = Readonly<Record<string, string>>;

const named: Headers = { "A2A-Version": "1.0" };

type MakeTransport = (options: { readonly baseUrl: string; readonly interceptors: Interceptor[] }) => Transport;

function binding(name: string, transport: MakeTransport): Binding {
  return {
    name,
    hasDeadlines: true,
    connect: (baseUrl, headers) => clientsOf((interceptors) => transport({ baseUrl, interceptors }), headers),
  };
}

/** A2A's own bindings in JSON. Health is gRPC's alone, so there it is asked over gRPC, on the same port. */
function jsonBinding(name: string, protocol: JsonProtocol): Binding {
  return {
    name,
    hasDeadlines: false,
    connect: (baseUrl, headers = named) => ({
      ...clientsOver(jsonTransport(baseUrl, protocol, headers)),
      health: createClient(Health, createGrpcTransport({ baseUrl })),
    }),
  };
}

/** Clients over a transport of one's own that takes interceptors. */
export function clientsOf(transport: (interceptors: Interceptor[]) => Transport, headers: Headers = named): Clients {
  return clientsOver(transport([sending(headers)]));
}

function clientsOver(transport: Transport): Clients {
  return {
    a2a: createClient(A2AService, transport),
    tasks: createClient(TaskManagerService, transport),
    conversations: createClient(ConversationService, transport),
    health: createClient(Health, transport),
  };
}

function sending(headers: Headers): Interceptor {
  return (next) => (request) => {
    for (const [name, value] of Object.entries(headers)) request.header.set(name, value);
    return next(request);
  };
}

export const bindings: readonly Binding[] = [
  binding("gRPC", createGrpcTransport),
  binding("gRPC-Web over HTTP/1.1", (options) => createGrpcWebTransport({ ...options, httpVersion: "1.1" })),
  binding("Connect JSON over HTTP/1.1", (options) =>
    createConnectTransport({ ...options, httpVersion: "1.1", useBinaryFormat: false }),
  ),
  binding("Connect JSON over HTTP/2", (options) =>
    createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: false }),
  ),
  binding("Connect binary over HTTP/2", (options) =>
    createConnectTransport({ ...options, httpVersion: "2", useBinaryFormat: true }),
  ),
  jsonBinding("HTTP+JSON", restProtocol),
  jsonBinding("JSON-RPC", rpcProtocol),
];

/** An error as every binding must tell it. */
export interface ToldError {
  readonly code: string;
  readonly reason: string | undefined;
  readonly domain: string | undefined;
  readonly fields: readonly string[];
  readonly message: string;
}

/** What an error says, with the fields as JSON has them: the bindings in JSON tell them so. */
export function toldError(error: unknown): ToldError {
  const connectError = ConnectError.from(error);
  const [info] = connectError.findDetails(ErrorInfoSchema);
  const fields = connectError
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map((violation) => jsonFieldPath(violation.field)));
  return {
    code: Code[connectError.code],
    reason: info?.reason,
    domain: info?.domain,
    fields,
    message: connectError.rawMessage,
  };
}
