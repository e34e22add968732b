/** The ways to call that a server can offer, by the names under which they are turned on. */
export const bindingNames = ["grpc", "grpc-web", "connect", "http+json", "json-rpc"] as const;
export type BindingName = (typeof bindingNames)[number];
