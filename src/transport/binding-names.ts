/** The protocols that a server can serve, by the names that enable them. */
export const bindingNames = ["grpc", "grpc-web", "connect", "http+json", "json-rpc"] as const;
export type BindingName = (typeof bindingNames)[number];

/** Those that hosts of fetch, and hosts of HTTP/1.1 alone, can carry: all but plain gRPC. */
export const fetchBindings: readonly BindingName[] = bindingNames.filter((name) => name !== "grpc");
