import type { ServiceImpl } from "@connectrpc/connect";
import { type A2AService, CancelTaskRequestSchema, GetTaskRequestSchema, SubscribeToTaskRequestSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { checkRequest } from "../domain/check-request.ts";
import { TaskError } from "../domain/task-error.ts";
import type { TaskManager } from "../manager/task-manager.ts";
import { answering, type CallSettings, callerOf, streaming } from "./serve-calls.ts";

/** The eleven operations of the contract (R1), each translated to a call of the manager. */
export function a2aService(manager: TaskManager, settings: CallSettings): ServiceImpl<typeof A2AService> {
  return {
    sendMessage: (request, context) => answering(settings, () => manager.sendMessage(request, callerOf(request, context), { signal: context.signal })),

    sendStreamingMessage: (request, context) =>
      streaming(settings, manager.sendStreamingMessage(request, callerOf(request, context)), context, (events) => events),

    getTask: (request, context) =>
      answering(settings, async () => {
        checkRequest(GetTaskRequestSchema, request);
        const { historyLength } = request;
        return (await manager.getTask(request.id, callerOf(request, context), { historyLength })).task;
      }),

    listTasks: (request, context) => answering(settings, () => manager.listTasks(request, callerOf(request, context))),

    cancelTask: (request, context) =>
      answering(settings, async () => {
        checkRequest(CancelTaskRequestSchema, request);
        const { metadata } = request;
        return manager.cancelTask(request.id, callerOf(request, context), { signal: context.signal, ...(metadata && { metadata }) });
      }),

    async *subscribeToTask(request, context) {
      await answering(settings, async () => checkRequest(SubscribeToTaskRequestSchema, request));
      yield* streaming(settings, manager.subscribeToTask(request.id, undefined, callerOf(request, context)), context, (events) => events);
    },

    createTaskPushNotificationConfig: () => answering(settings, noPushNotifications),
    getTaskPushNotificationConfig: () => answering(settings, noPushNotifications),
    listTaskPushNotificationConfigs: () => answering(settings, noPushNotifications),
    deleteTaskPushNotificationConfig: () => answering(settings, noPushNotifications),

    getExtendedAgentCard: () =>
      answering(settings, async () => {
        throw new TaskError("UNSUPPORTED_OPERATION", "This agent has no extended card");
      }),
  };
}

/** The capability gate (R7) comes before everything else that could be wrong: the answer is the same whatever was asked. */
async function noPushNotifications(): Promise<never> {
  throw new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");
}
