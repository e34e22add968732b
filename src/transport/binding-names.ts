/** The protocols that a server can serve, by the names that enable them. */
export const bindingNames = ["grpc", "grpc-web", "connect", "http+json", "json-rpc"] as const;
export type BindingName = (typeof bindingNames)[number];
