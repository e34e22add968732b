import { createContextKey, type HandlerContext } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { TaskError } from "../../domain/task-error.ts";
import type { Capabilities } from "../agent-card/capabilities.ts";
import { linesOf } from "../calls/request-lines.ts";
import type { A2ACall } from "./a2a-call.ts";
import { activeExtensions, extensionsParameter, requestedExtensions } from "./a2a-extensions.ts";
import { checkVersion, type VersionMode } from "./a2a-version.ts";

/**
 * Admits a call of `A2AService` or throws a TaskError. Calls of other services pass. It is asked before the request is
 * parsed, since the version decides how. Sets the response's `A2A-Extensions`. The result is kept in the context:
 * asking again for the same call, as the service itself does, returns the same.
 */
export type Admission = (context: HandlerContext) => A2ACall;

const admitted = createContextKey<A2ACall | undefined>(undefined, { description: "the admitted call of A2AService" });

const translated = createContextKey(false, { description: "whether the call was translated to the served version" });

/** Marks a call as already translated to 1.0: the version that its request names doesn't count. */
export function takeAsServed(context: HandlerContext): void {
  context.values.set(translated, true);
}

/**
 * The admission of every binding: the version (R137), then the capabilities of the card (R7–R9), then the extensions
 * that the card requires (R10). All are checked before anything that the request asks for, so the answer doesn't depend
 * on it.
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
    if (context.service.typeName !== A2AService.typeName) return otherService;
    if (!context.values.get(translated)) checkVersion({ lines: linesOf(context), url: context.url }, a2aVersion);
    const refusal = closed[context.method.localName];
    if (refusal !== undefined) throw refusal();
    const active = activeExtensions(extensions, requestedExtensions(linesOf(context)));
    if (active.size > 0) context.responseHeader.set(extensionsParameter, [...active].join(", "));
    const call: A2ACall = { extensions: active };
    context.values.set(admitted, call);
    return call;
  };
}

const otherService: A2ACall = { extensions: new Set() };

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
