/** The protocols that a server can serve, by the names that enable them. */
export const bindingNames = ["grpc", "grpc-web", "connect", "http+json", "json-rpc"] as const;
export type BindingName = (typeof bindingNames)[number];

/** Those that a host of fetch can carry: all but plain gRPC, which needs trailers. */
export const fetchBindings: readonly BindingName[] = bindingNames.filter((name) => name !== "grpc");
