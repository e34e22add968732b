import { type Client, ClientFactory, JsonRpcTransportFactory, RestTransportFactory } from "@a2a-js/sdk/client";
import { GrpcTransportFactory } from "@a2a-js/sdk/client/grpc";

export const foreignBindings = ["GRPC", "HTTP+JSON", "JSONRPC"] as const;

/** The client of the A2A project's own SDK for JavaScript, over one binding of a server, with a card made by hand. */
export function foreignClient(
  url: URL,
  binding: (typeof foreignBindings)[number] = "GRPC",
  tenant = "",
): Promise<Client> {
  const factory = new ClientFactory({
    transports: [new GrpcTransportFactory(), new RestTransportFactory(), new JsonRpcTransportFactory()],
  });
  const card = {
    name: "demo",
    description: "",
    version: "1",
    supportedInterfaces: [
      { url: binding === "GRPC" ? url.host : url.origin, protocolBinding: binding, tenant, protocolVersion: "1.0" },
    ],
    provider: undefined,
    capabilities: { streaming: true, pushNotifications: true, extensions: [], extendedAgentCard: false },
    securitySchemes: {},
    securityRequirements: [],
    defaultInputModes: ["text/plain"],
    defaultOutputModes: ["text/plain"],
    skills: [],
    signatures: [],
  };
  return factory.createFromAgentCard(card as Parameters<ClientFactory["createFromAgentCard"]>[0]);
}

/**
 * The same by the server's own card: the client reads it, finds the binding there, and connects to the address it
 * names.
 */
export function foreignClientByCard(url: URL, binding: (typeof foreignBindings)[number] = "GRPC"): Promise<Client> {
  const transports = {
    GRPC: GrpcTransportFactory,
    "HTTP+JSON": RestTransportFactory,
    JSONRPC: JsonRpcTransportFactory,
  };
  return new ClientFactory({ transports: [new transports[binding]()] }).createFromUrl(url.origin);
}

/** A message to send, as the SDK has them. */
export function foreignRequest(text: string, taskId = "", configuration?: object) {
  return {
    tenant: "",
    message: {
      messageId: crypto.randomUUID(),
      contextId: "",
      taskId,
      role: 1,
      parts: [{ content: { $case: "text", value: text }, metadata: undefined, filename: "", mediaType: "" }],
      metadata: undefined,
      extensions: [],
      referenceTaskIds: [],
    },
    configuration,
    metadata: undefined,
  } as unknown as Parameters<Client["sendMessage"]>[0];
}
