import type { Message as ProtoMessage } from "@bufbuild/protobuf";
import { Role, type SendMessageRequest } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ListMessagesRequest } from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { idBytesMax } from "../limits.ts";
import type { FieldViolation } from "../task-error.ts";

/** The rules of a field or oneof that its descriptor does not state. */
export interface FieldRule {
  /**
   * Replaces the annotation: true where only the proto's comment says REQUIRED, false where a REQUIRED field may be
   * empty.
   */
  readonly required?: boolean;
  /** Bytes of UTF-8 of a string, or of each string of a list. */
  readonly bytesMax?: number;
  /** Both ends are accepted. An absent `optional` number is not checked; every other number is. */
  readonly range?: readonly [min: number, max: number];
  /** A rule that depends on other fields. Gets the message that holds the field; the violation's path starts there. */
  check?(message: ProtoMessage): FieldViolation | undefined;
}

const id: FieldRule = { bytesMax: idBytesMax };
/** An id that only a comment declares REQUIRED: the protos of `taskmanager.v1` have no annotations. */
const requiredId: FieldRule = { bytesMax: idBytesMax, required: true };
/** A oneof cannot have `field_behavior`, so a comment declares it REQUIRED. */
const required: FieldRule = { required: true };
/** Annotated REQUIRED with a comment "may be empty": empty and absent lists, maps and strings look the same. */
const mayBeEmpty: FieldRule = { required: false };
const pageSize: FieldRule = { range: [1, 100] };
const notNegative: FieldRule = { range: [0, Infinity] };

/** All such rules, by message type and then by the proto name of the field or oneof. */
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
  // Unlike the other page sizes this one is not `optional`, so 0 means absent.
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
  // Sequence 0 is refused as OUT_OF_RANGE where the head is known.
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

/** R123. The descriptor refuses every other wrong role. */
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
