import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import type { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { withV03Members } from "./card-v03.ts";
import { eventFromV1, pushFromV1, sentFromV1, taskFromV1 } from "./from-v1.ts";
import { pushIdToV1, pushToV1, queryToV1, sendToV1, taskIdToV1 } from "./to-v1.ts";

/** A method of version 0.3 and its translation to version 1.0. */
export interface MethodV03 {
  readonly rpc: keyof typeof A2AService.method;
  /** Its params as the JSON of the request of the RPC. Throws TaskError INVALID_REQUEST. */
  toV1(params: JsonObject): JsonObject;
  /** Its result, or an event of its stream, in version 0.3. */
  fromV1(result: JsonObject): JsonValue;
}

/** All methods of version 0.3 (R198). It has no ListTasks. */
export const methodsV03: Readonly<Record<string, MethodV03>> = {
  "message/send": { rpc: "sendMessage", toV1: sendToV1, fromV1: sentFromV1 },
  "message/stream": { rpc: "sendStreamingMessage", toV1: sendToV1, fromV1: eventFromV1 },
  "tasks/get": { rpc: "getTask", toV1: queryToV1, fromV1: taskFromV1 },
  "tasks/cancel": { rpc: "cancelTask", toV1: (params) => taskIdToV1(params, true), fromV1: taskFromV1 },
  "tasks/resubscribe": { rpc: "subscribeToTask", toV1: (params) => taskIdToV1(params, false), fromV1: eventFromV1 },
  "tasks/pushNotificationConfig/set": { rpc: "createTaskPushNotificationConfig", toV1: pushToV1, fromV1: pushFromV1 },
  "tasks/pushNotificationConfig/get": { rpc: "getTaskPushNotificationConfig", toV1: pushIdToV1, fromV1: pushFromV1 },
  "tasks/pushNotificationConfig/list": {
    rpc: "listTaskPushNotificationConfigs",
    toV1: pushIdToV1,
    fromV1: ({ configs }) => (Array.isArray(configs) ? configs.map((config) => pushFromV1(config as JsonObject)) : []),
  },
  "tasks/pushNotificationConfig/delete": {
    rpc: "deleteTaskPushNotificationConfig",
    toV1: pushIdToV1,
    fromV1: () => null,
  },
  "agent/getAuthenticatedExtendedCard": { rpc: "getExtendedAgentCard", toV1: () => ({}), fromV1: withV03Members },
};
