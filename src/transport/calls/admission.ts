import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../../domain/task-error.ts";
import type { Capabilities } from "../agent-card/capabilities.ts";
import type { A2ACall } from "./a2a-call.ts";
import { activeExtensions, extensionsParameter, requestedExtensions } from "./a2a-extensions.ts";
import { checkVersion, type VersionMode } from "./a2a-version.ts";

/**
 * Lets a call of `A2AService` in, or throws the TaskError that refuses it; calls of other services pass. Asked before
 * the request is parsed, since it is the version that says how; a call that was let in is known by its context, so that
 * whoever asks again, as the service itself does, gets the same. Sets the response's `A2A-Extensions`.
 */
export type Admission = (context: HandlerContext) => A2ACall;

const admitted = createContextKey<A2ACall | undefined>(undefined, {
  description: "a call of the A2A contract that was let in",
});

const translated = createContextKey(false, {
  description: "a call that is one of the served version, whatever its request named",
});

/** For who translates requests of another version: the call is one of the served version by now. */
export function takeAsServed(context: HandlerContext): void {
  context.values.set(translated, true);
}

/**
 * The one gate of the contract, for every binding: the version (R137), then what the card says the agent can do
 * (R7–R9), then the extensions it requires (R10). All before anything is looked at that the request asks for: the
 * answer is the same whatever that is.
 */
export function admission(
  { streaming, pushNotifications, extendedAgentCard, extensions }: Capabilities,
  a2aVersion: VersionMode,
): Admission {
  const closed: Partial<Record<string, () => TaskError>> = {
    ...(!streaming && noStreams),
    ...(!pushNotifications && noPushNotifications),
    ...(!extendedAgentCard && noExtendedCard),
  };
  return (context) => {
    const before = context.values.get(admitted);
    if (before !== undefined) return before;
    // Our own services have neither this version nor these extensions.
    if (context.service.typeName !== A2AService.typeName) return foreign;
    if (!context.values.get(translated)) checkVersion(context, a2aVersion);
    const refusal = closed[context.method.localName];
    if (refusal !== undefined) throw refusal();
    const active = activeExtensions(extensions, requestedExtensions(context.requestHeader));
    if (active.size > 0) context.responseHeader.set(extensionsParameter, [...active].join(", "));
    const call: A2ACall = { extensions: active };
    context.values.set(admitted, call);
    return call;
  };
}

const foreign: A2ACall = { extensions: new Set() };

type Refusals = { readonly [M in keyof typeof A2AService.method]?: () => TaskError };

const unsupported = (what: string) => () =>
  new TaskError("UNSUPPORTED_OPERATION", `This agent has no ${what}, as its card says`);
const noPush = () => new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");

const noStreams: Refusals = { sendStreamingMessage: unsupported("streams"), subscribeToTask: unsupported("streams") };
const noPushNotifications: Refusals = {
  createTaskPushNotificationConfig: noPush,
  getTaskPushNotificationConfig: noPush,
  listTaskPushNotificationConfigs: noPush,
  deleteTaskPushNotificationConfig: noPush,
};
const noExtendedCard: Refusals = { getExtendedAgentCard: unsupported("extended card") };
