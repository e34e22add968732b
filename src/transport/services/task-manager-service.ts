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
import { checkRequest } from "../../domain/check-request.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import { answering, type CallSettings, callerOf, streaming } from "../calls/call-settings.ts";

/** Streams by cursor, past states, removal. */
export function taskManagerService(
  manager: TaskManager,
  settings: CallSettings,
): ServiceImpl<typeof TaskManagerService> {
  return {
    async *watchTask(request, context) {
      await answering(settings, async () => checkRequest(WatchTaskRequestSchema, request));
      const subscriber = manager.watchTask(request.taskId, request.afterSequence, callerOf(request, context));
      yield* streaming(settings, subscriber, context, (events) => withHeartbeats(events, settings.heartbeatMs));
    },

    getTaskAt: (request, context) =>
      answering(settings, async () => {
        checkRequest(GetTaskAtRequestSchema, request);
        return create(
          GetTaskAtResponseSchema,
          await manager.getTaskAt(request.taskId, request.sequence, callerOf(request, context)),
        );
      }),

    taskExists: (request, context) =>
      answering(settings, async () => {
        checkRequest(TaskExistsRequestSchema, request);
        return create(TaskExistsResponseSchema, {
          exists: await manager.taskExists(request.taskId, callerOf(request, context)),
        });
      }),

    deleteTask: (request, context) =>
      answering(settings, async () => {
        checkRequest(DeleteTaskRequestSchema, request);
        return create(DeleteTaskResponseSchema, {
          deleted: await manager.deleteTask(request.taskId, callerOf(request, context)),
        });
      }),
  };
}

/**
 * The events with their sequences, and a heartbeat after every so much silence. A timer per event costs less than a
 * race against one that outlives it.
 */
async function* withHeartbeats(subscriber: TaskSubscriber, heartbeatMs: number): AsyncGenerator<WatchTaskResponse> {
  const events = subscriber[Symbol.asyncIterator]();
  for (;;) {
    const next = events.next();
    let result = await within(next, heartbeatMs);
    while (result === undefined) {
      yield create(WatchTaskResponseSchema, {
        sequence: subscriber.cursor,
        payload: { case: "heartbeat", value: create(HeartbeatSchema) },
      });
      result = await within(next, heartbeatMs);
    }
    if (result.done) return;
    const response = create(WatchTaskResponseSchema);
    response.sequence = subscriber.cursor;
    response.payload = { case: "event", value: result.value };
    yield response;
  }
}

function within(
  next: Promise<IteratorResult<StreamResponse>>,
  ms: number,
): Promise<IteratorResult<StreamResponse> | undefined> {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => resolve(undefined), ms);
    next.then(
      (result) => {
        clearTimeout(timer);
        resolve(result);
      },
      (error: unknown) => {
        clearTimeout(timer);
        reject(error);
      },
    );
  });
}
