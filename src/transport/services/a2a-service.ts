import { create } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import {
  type A2AService,
  AgentCardSchema,
  CancelTaskRequestSchema,
  GetExtendedAgentCardRequestSchema,
  GetTaskRequestSchema,
  ListTasksResponseSchema,
  SendMessageResponseSchema,
  SubscribeToTaskRequestSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import { TaskError } from "../../domain/task-error.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import type { TaskManager, WaitOptions } from "../../manager/task-manager.ts";
import type { A2ACall } from "../admission/a2a-call.ts";
import { callerFrom, roomFrom } from "../calls/call-context.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { cursorOf, numberEvents, numberTask } from "../calls/event-sequence.ts";
import { linesOf } from "../calls/request-lines.ts";
import { restOf } from "../load/call-work.ts";
import { subscriptionEvents } from "./subscription-events.ts";

/** The eleven operations of the contract (R1). Each is translated to a call of the manager once it is admitted. */
export function a2aService(manager: TaskManager, settings: CallSettings): ServiceImpl<typeof A2AService> {
  const { admit } = settings;

  /** A unary operation. */
  function unary<I, O>(body: (request: I, context: HandlerContext, call: A2ACall) => Promise<O>) {
    return async (request: I, context: HandlerContext) => body(request, context, admit(context));
  }

  /** A streaming operation. `open` may reject the request. */
  function stream<I>(
    open: (
      request: I,
      context: HandlerContext,
      options: WaitOptions & { readonly after: bigint | undefined },
    ) => TaskSubscriber,
  ) {
    return (request: I, context: HandlerContext) =>
      subscriptionEvents(
        settings,
        context,
        (options) => open(request, context, { ...options, after: cursorOf(admit(context), linesOf(context)) }),
        (events) => numberEvents(admit(context), events),
      );
  }

  return {
    sendMessage: unary(async (request, context, call) => {
      const options = { signal: context.signal, onWait: restOf(context), room: roomFrom(context) };
      const sent = await manager.sendMessage(request, callerFrom(request, context), options);
      return create(SendMessageResponseSchema, {
        payload:
          sent.kind === "message"
            ? { case: "message", value: sent.message }
            : { case: "task", value: numberTask(call, sent) },
      });
    }),

    sendStreamingMessage: stream((request, context, options) =>
      manager.sendStreamingMessage(request, callerFrom(request, context), { ...options, room: roomFrom(context) }),
    ),

    getTask: unary(async (request, context, call) => {
      checkRequest(GetTaskRequestSchema, request);
      const { historyLength } = request;
      const caller = callerFrom(request, context);
      return numberTask(call, await manager.getTask(request.id, caller, { historyLength }, roomFrom(context)));
    }),

    listTasks: unary(async (request, context, call) => {
      const page = await manager.listTasks(request, callerFrom(request, context), roomFrom(context));
      return create(ListTasksResponseSchema, { ...page, tasks: page.tasks.map((each) => numberTask(call, each)) });
    }),

    cancelTask: unary(async (request, context, call) => {
      checkRequest(CancelTaskRequestSchema, request);
      const { metadata } = request;
      return numberTask(
        call,
        await manager.cancelTask(request.id, callerFrom(request, context), {
          signal: context.signal,
          room: roomFrom(context),
          ...(metadata && { metadata }),
        }),
      );
    }),

    subscribeToTask: stream((request, context, { after, ...options }) => {
      checkRequest(SubscribeToTaskRequestSchema, request);
      const caller = callerFrom(request, context);
      return manager.subscribeToTask(request.id, after, caller, { ...options, room: roomFrom(context) });
    }),

    createTaskPushNotificationConfig: unary(noPushNotifications),
    getTaskPushNotificationConfig: unary(noPushNotifications),
    listTaskPushNotificationConfigs: unary(noPushNotifications),
    deleteTaskPushNotificationConfig: unary(noPushNotifications),

    getExtendedAgentCard: unary(async (request, context) => {
      checkRequest(GetExtendedAgentCardRequestSchema, request);
      const card = await settings.extendedCard?.(callerFrom(request, context));
      if (card === undefined)
        throw new TaskError("EXTENDED_AGENT_CARD_NOT_CONFIGURED", "This agent's extended card isn't configured");
      // It is for one caller (R115): a proxy must not give it to others.
      context.responseHeader.set("cache-control", "private, no-cache");
      return create(AgentCardSchema, card);
    }),
  };
}

/** Push notifications don't exist yet: no card admits these calls. */
async function noPushNotifications(): Promise<never> {
  throw new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");
}
