import type { Message as ProtoMessage } from "@bufbuild/protobuf";
import { Role, type SendMessageRequest } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ListMessagesRequest } from "../../gen/taskmanager/v1/conversation_pb.ts";
import { idBytesMax } from "./limits.ts";
import type { FieldViolation } from "./task-error.ts";

/** What a field or oneof has to keep beyond what its descriptor says. */
export interface FieldRule {
  /**
   * Stands in for the annotation: true where only the proto's comment says REQUIRED, false where a REQUIRED field may
   * be empty.
   */
  readonly required?: boolean;
  /** Bytes of UTF-8 of a string, or of each string of a list. */
  readonly bytesMax?: number;
  /** Both ends accepted. An absent `optional` number is not looked at; any other number always is. */
  readonly range?: readonly [min: number, max: number];
  /**
   * For what depends on other fields; gets the message that holds the field. The violation's path starts at that
   * message.
   */
  check?(message: ProtoMessage): FieldViolation | undefined;
}

const id: FieldRule = { bytesMax: idBytesMax };
/** An id whose REQUIRED stands in a comment: the protos of `taskmanager.v1` carry no annotations. */
const requiredId: FieldRule = { bytesMax: idBytesMax, required: true };
/** A oneof can't carry `field_behavior`, so its REQUIRED stands in a comment too. */
const required: FieldRule = { required: true };
/** Annotated REQUIRED with a comment "may be empty": a list, map or string doesn't tell empty from absent (trap 22). */
const mayBeEmpty: FieldRule = { required: false };
const pageSize: FieldRule = { range: [1, 100] };
const notNegative: FieldRule = { range: [0, Infinity] };

/** All rules that the descriptors don't state, by message type and then by proto name of the field or oneof. */
export const rules: Readonly<Record<string, Readonly<Record<string, FieldRule>>>> = {
  "lf.a2a.v1.SendMessageRequest": { tenant: id, message: { check: fromUser } },
  "lf.a2a.v1.SendMessageConfiguration": { history_length: notNegative },
  "lf.a2a.v1.GetTaskRequest": { tenant: id, id, history_length: notNegative },
  "lf.a2a.v1.ListTasksRequest": { tenant: id, context_id: id, page_size: pageSize, history_length: notNegative },
  "lf.a2a.v1.CancelTaskRequest": { tenant: id, id },
  "lf.a2a.v1.SubscribeToTaskRequest": { tenant: id, id },
  "lf.a2a.v1.TaskPushNotificationConfig": { tenant: id, id, task_id: id },
  "lf.a2a.v1.GetTaskPushNotificationConfigRequest": { tenant: id, task_id: id, id },
  "lf.a2a.v1.DeleteTaskPushNotificationConfigRequest": { tenant: id, task_id: id, id },
  // Unlike the other page sizes not `optional`, so that 0 is how to leave it out (trap 19).
  "lf.a2a.v1.ListTaskPushNotificationConfigsRequest": { tenant: id, task_id: id, page_size: { range: [0, 100] } },
  "lf.a2a.v1.GetExtendedAgentCardRequest": { tenant: id },

  "lf.a2a.v1.Task": { id, context_id: id },
  "lf.a2a.v1.Message": { message_id: id, context_id: id, task_id: id, reference_task_ids: id },
  "lf.a2a.v1.Part": { content: required },
  "lf.a2a.v1.Artifact": { artifact_id: id },
  "lf.a2a.v1.TaskStatusUpdateEvent": { task_id: id, context_id: id },
  "lf.a2a.v1.TaskArtifactUpdateEvent": { task_id: id, context_id: id },

  "lf.a2a.v1.SendMessageResponse": { payload: required },
  "lf.a2a.v1.StreamResponse": { payload: required },
  "lf.a2a.v1.ListTasksResponse": { tasks: mayBeEmpty, next_page_token: mayBeEmpty },

  "lf.a2a.v1.SecurityScheme": { scheme: required },
  "lf.a2a.v1.OAuthFlows": { flow: required },
  "lf.a2a.v1.AuthorizationCodeOAuthFlow": { scopes: mayBeEmpty },
  "lf.a2a.v1.ClientCredentialsOAuthFlow": { scopes: mayBeEmpty },
  "lf.a2a.v1.DeviceCodeOAuthFlow": { scopes: mayBeEmpty },

  "taskmanager.v1.WatchTaskRequest": { tenant: id, task_id: requiredId },
  // Its sequence 0 is OUT_OF_RANGE, found where the head is known.
  "taskmanager.v1.GetTaskAtRequest": { tenant: id, task_id: requiredId },
  "taskmanager.v1.TaskExistsRequest": { tenant: id, task_id: requiredId },
  "taskmanager.v1.DeleteTaskRequest": { tenant: id, task_id: requiredId },
  "taskmanager.v1.GetConversationRequest": { tenant: id, context_id: requiredId },
  "taskmanager.v1.ListConversationsRequest": { tenant: id, page_size: pageSize },
  "taskmanager.v1.ListMessagesRequest": {
    tenant: id,
    context_id: requiredId,
    limit: { check: limitAlone },
    page_size: pageSize,
  },
  "taskmanager.v1.DeleteMessageRequest": { tenant: id, message_id: requiredId },
  "taskmanager.v1.UpdateConversationAccessRequest": { tenant: id, context_id: requiredId },
  "taskmanager.v1.DeleteConversationRequest": { tenant: id, context_id: requiredId },
  "taskmanager.v1.GetConversationStatsRequest": { tenant: id },
  "taskmanager.v1.CleanupExpiredConversationsRequest": { tenant: id, max_age_ms: notNegative },
};

/** R123. Other wrong roles are seen by the descriptor. */
function fromUser(request: SendMessageRequest): FieldViolation | undefined {
  if (request.message?.role !== Role.AGENT) {
    return undefined;
  }
  return {
    field: "message.role",
    description: "is ROLE_AGENT, which only the agent's own messages have: ROLE_USER is accepted",
  };
}

function limitAlone(request: ListMessagesRequest): FieldViolation | undefined {
  const { limit } = request;
  if (limit === undefined) {
    return undefined;
  }
  if (limit < -1 || limit === 0) {
    return { field: "limit", description: `is ${limit}: 1 or more is accepted, or -1 for all messages` };
  }
  if (request.pageSize !== undefined || request.pageToken !== "") {
    return {
      field: "limit",
      description: "comes with page_size or page_token: either the newest messages are accepted or pages, not both",
    };
  }
  return undefined;
}
