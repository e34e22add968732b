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
import { checkRequest } from "../../domain/check-request.ts";
import { TaskError } from "../../domain/task-error.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import type { A2ACall } from "../calls/a2a-call.ts";
import { answering, type CallSettings, callerOf, streaming } from "../calls/call-settings.ts";
import { cursorOf, numberEvents, numberTask } from "../calls/event-sequence.ts";

/** The eleven operations of the contract (R1), each translated to a call of the manager once the gate has let it in. */
export function a2aService(manager: TaskManager, settings: CallSettings): ServiceImpl<typeof A2AService> {
  const { gate } = settings;

  /** A unary operation. */
  function unary<I, O>(body: (request: I, context: HandlerContext, call: A2ACall) => Promise<O>) {
    return (request: I, context: HandlerContext) =>
      answering(settings, async () => body(request, context, gate(context)));
  }

  /** A streaming operation: `open` is called once it is let in, and may refuse what was asked. */
  function stream<I>(open: (request: I, context: HandlerContext, after: bigint | undefined) => TaskSubscriber) {
    return async function* (request: I, context: HandlerContext) {
      const { call, subscriber } = await answering(settings, async () => {
        const admitted = gate(context);
        // To open is to begin what is asked for already.
        context.signal.throwIfAborted();
        return { call: admitted, subscriber: open(request, context, cursorOf(admitted, context.requestHeader)) };
      });
      yield* streaming(settings, subscriber, context, (events) => numberEvents(call, events));
    };
  }

  return {
    sendMessage: unary(async (request, context, call) => {
      const sent = await manager.sendMessage(request, callerOf(request, context), { signal: context.signal });
      return create(SendMessageResponseSchema, {
        payload:
          sent.kind === "message"
            ? { case: "message", value: sent.message }
            : { case: "task", value: numberTask(call, sent) },
      });
    }),

    sendStreamingMessage: stream((request, context, after) =>
      manager.sendStreamingMessage(request, callerOf(request, context), { after }),
    ),

    getTask: unary(async (request, context, call) => {
      checkRequest(GetTaskRequestSchema, request);
      const { historyLength } = request;
      return numberTask(call, await manager.getTask(request.id, callerOf(request, context), { historyLength }));
    }),

    listTasks: unary(async (request, context, call) => {
      const page = await manager.listTasks(request, callerOf(request, context));
      return create(ListTasksResponseSchema, { ...page, tasks: page.tasks.map((each) => numberTask(call, each)) });
    }),

    cancelTask: unary(async (request, context, call) => {
      checkRequest(CancelTaskRequestSchema, request);
      const { metadata } = request;
      return numberTask(
        call,
        await manager.cancelTask(request.id, callerOf(request, context), {
          signal: context.signal,
          ...(metadata && { metadata }),
        }),
      );
    }),

    subscribeToTask: stream((request, context, after) => {
      checkRequest(SubscribeToTaskRequestSchema, request);
      return manager.subscribeToTask(request.id, after, callerOf(request, context));
    }),

    createTaskPushNotificationConfig: unary(noPushNotifications),
    getTaskPushNotificationConfig: unary(noPushNotifications),
    listTaskPushNotificationConfigs: unary(noPushNotifications),
    deleteTaskPushNotificationConfig: unary(noPushNotifications),

    getExtendedAgentCard: unary(async (request, context) => {
      checkRequest(GetExtendedAgentCardRequestSchema, request);
      const card = await settings.extendedCard?.(callerOf(request, context));
      if (card === undefined)
        throw new TaskError("EXTENDED_AGENT_CARD_NOT_CONFIGURED", "This agent's extended card isn't configured");
      // For one caller (R115): a proxy must not give it to another one.
      context.responseHeader.set("cache-control", "private, no-cache");
      return create(AgentCardSchema, card);
    }),
  };
}

/** Until they exist, no card opens the gate for these. */
async function noPushNotifications(): Promise<never> {
  throw new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");
}
