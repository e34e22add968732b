import { create } from "@bufbuild/protobuf";
import type { ServiceImpl } from "@connectrpc/connect";
import type { StreamResponse } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  DeleteTaskRequestSchema,
  DeleteTaskResponseSchema,
  GetTaskAtRequestSchema,
  GetTaskAtResponseSchema,
  HeartbeatSchema,
  TaskExistsRequestSchema,
  TaskExistsResponseSchema,
  type TaskManagerService,
  WatchTaskRequestSchema,
  type WatchTaskResponse,
  WatchTaskResponseSchema,
} from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import type { Clock } from "../../runtime/clock.ts";
import { callerFrom, roomFrom } from "../calls/call-context.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { subscriptionEvents } from "./subscription-events.ts";

/** Streams with a cursor, past states, removal. */
export function taskManagerService(
  manager: TaskManager,
  settings: CallSettings,
): ServiceImpl<typeof TaskManagerService> {
  return {
    watchTask: (request, context) =>
      subscriptionEvents(
        settings,
        context,
        (options) => {
          checkRequest(WatchTaskRequestSchema, request);
          const { taskId, afterSequence } = request;
          const caller = callerFrom(request, context);
          return manager.watchTask(taskId, afterSequence, caller, { ...options, room: roomFrom(context) });
        },
        (events) => withHeartbeats(events, settings.clock, settings.heartbeatMs),
      ),

    getTaskAt: async (request, context) => {
      checkRequest(GetTaskAtRequestSchema, request);
      return create(
        GetTaskAtResponseSchema,
        await manager.getTaskAt(request.taskId, request.sequence, callerFrom(request, context), roomFrom(context)),
      );
    },

    taskExists: async (request, context) => {
      checkRequest(TaskExistsRequestSchema, request);
      return create(TaskExistsResponseSchema, {
        exists: await manager.taskExists(request.taskId, callerFrom(request, context)),
      });
    },

    deleteTask: async (request, context) => {
      checkRequest(DeleteTaskRequestSchema, request);
      return create(DeleteTaskResponseSchema, {
        deleted: await manager.deleteTask(request.taskId, callerFrom(request, context)),
      });
    },
  };
}

/**
 * The events with their sequences, and a heartbeat after each `heartbeatMs` of silence. A timer for each event costs
 * less than a race against one timer that outlives the event.
 */
async function* withHeartbeats(
  subscriber: TaskSubscriber,
  clock: Clock,
  heartbeatMs: number,
): AsyncGenerator<WatchTaskResponse> {
  const events = subscriber[Symbol.asyncIterator]();
  for (;;) {
    const next = events.next();
    let result = await within(next, clock, heartbeatMs);
    while (result === undefined) {
      yield create(WatchTaskResponseSchema, {
        sequence: subscriber.cursor,
        payload: { case: "heartbeat", value: create(HeartbeatSchema) },
      });
      result = await within(next, clock, heartbeatMs);
    }
    if (result.done) return;
    const response = create(WatchTaskResponseSchema);
    response.sequence = subscriber.cursor;
    response.payload = { case: "event", value: result.value };
    yield response;
  }
}

/** What `next` resolves to, or undefined if it takes longer than `ms`. */
function within(
  next: Promise<IteratorResult<StreamResponse>>,
  clock: Clock,
  ms: number,
): Promise<IteratorResult<StreamResponse> | undefined> {
  return new Promise((resolve, reject) => {
    const cancel = clock.after(ms, () => resolve(undefined));
    next.then(
      (result) => {
        cancel();
        resolve(result);
      },
      (error: unknown) => {
        cancel();
        reject(error);
      },
    );
  });
}
