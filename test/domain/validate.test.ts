import {
  create,
  type DescMessage,
  fromBinary,
  fromJson,
  type JsonObject,
  type JsonValue,
  type MessageInitShape,
  type Message as ProtoMessage,
  toBinary,
  toJson,
} from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import { expect, test } from "vitest";
import * as a2a from "../../gen/lf/a2a/v1/a2a_pb.ts";
import * as conversations from "../../gen/taskmanager/v1/conversation_pb.ts";
import * as tasks from "../../gen/taskmanager/v1/task_manager_pb.ts";
import { idBytesMax } from "../../src/domain/limits.ts";
import { validate, violationsMax } from "../../src/domain/validation/validate.ts";
import { rules } from "../../src/domain/validation/validation-rules.ts";

interface Case {
  readonly name: string;
  readonly schema: DescMessage;
  readonly message: ProtoMessage;
  /** The paths of all violations, in order. */
  readonly paths: readonly string[];
}

function of<S extends DescMessage>(name: string, schema: S, init: MessageInitShape<S>, ...paths: string[]): Case {
  return { name, schema, message: create(schema, init), paths };
}

type MessageInit = Exclude<MessageInitShape<typeof a2a.MessageSchema>, a2a.Message>;
type PartInit = MessageInitShape<typeof a2a.PartSchema>;
const text: PartInit = { content: { case: "text", value: "hello" } };
const user: MessageInit = { messageId: "m1", role: a2a.Role.USER, parts: [text] };

function send(name: string, message: MessageInit, ...paths: string[]): Case {
  return of(name, a2a.SendMessageRequestSchema, { message: { ...user, ...message } }, ...paths);
}
function part(name: string, value: PartInit, ...paths: string[]): Case {
  return send(name, { parts: [text, value] }, ...paths);
}
function data(name: string, json: JsonValue, ...paths: string[]): Case {
  return part(name, { content: { case: "data", value: value(json) } }, ...paths);
}
function value(json: JsonValue): Value {
  return fromJson(ValueSchema, json, { recursionLimit: Infinity });
}
function configured(
  name: string,
  configuration: MessageInitShape<typeof a2a.SendMessageConfigurationSchema>,
  ...paths: string[]
): Case {
  return of(name, a2a.SendMessageRequestSchema, { message: user, configuration }, ...paths);
}
function objects(count: number): JsonObject {
  let json: JsonObject = { leaf: 1 };
  for (let depth = 1; depth < count; depth++) {
    json = { json };
  }
  return json;
}
function arrays(count: number): JsonValue {
  let json: JsonValue = [1];
  for (let depth = 1; depth < count; depth++) {
    json = [json];
  }
  return json;
}

const longestId = "é".repeat(idBytesMax / 2);
const time = (seconds: bigint, nanos = 0) => ({ statusTimestampAfter: { seconds, nanos } });
const page = (pageSize: number) => ({ pageSize });
const flow = { authorizationUrl: "https://a", tokenUrl: "https://t" };
const scheme = (value: MessageInitShape<typeof a2a.SecuritySchemeSchema>) => ({
  name: "n",
  description: "d",
  version: "1",
  supportedInterfaces: [{ url: "u", protocolBinding: "GRPC", protocolVersion: "1.0" }],
  capabilities: {},
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain"],
  skills: [{ id: "s", name: "n", description: "d", tags: ["t"] }],
  securitySchemes: { 'a "b"': value },
});

test.for([
  send("The smallest message is valid", {}),
  of("A request without a message is refused", a2a.SendMessageRequestSchema, {}, "message"),
  send(
    "Every REQUIRED field of a message is named",
    { messageId: "", role: 0, parts: [] },
    "message.message_id",
    "message.role",
    "message.parts",
  ),
  send("A message from the agent is refused", { role: a2a.Role.AGENT }, "message.role"),
  send("An unknown role is refused once", { role: 99 as a2a.Role }, "message.role"),
  send("A negative role is refused", { role: -1 as a2a.Role }, "message.role"),
  part("An empty text is a content", { content: { case: "text", value: "" } }),
  part("No bytes are a content", { content: { case: "raw", value: new Uint8Array() } }),
  data("A JSON null is a content", null),
  part("A part without content is refused", { filename: "f" }, "message.parts[1].content"),
  send(
    "Each part without content is refused",
    { parts: [{}, text, {}] },
    "message.parts[0].content",
    "message.parts[2].content",
  ),
  part(
    "A Value without a kind is refused",
    { content: { case: "data", value: create(ValueSchema) } },
    "message.parts[1].data",
  ),
  part(
    "NaN is refused",
    { content: { case: "data", value: create(ValueSchema, { kind: { case: "numberValue", value: NaN } }) } },
    "message.parts[1].data",
  ),
  part("Infinity in metadata is refused", { ...text, metadata: { a: [{ b: Infinity }] } }, "message.parts[1].metadata"),
  part("Metadata takes every kind of JSON", { ...text, metadata: { a: [null, true, "", 0, -1.5, {}, []] } }),
  data("30 objects within each other are valid", objects(30)),
  data("31 objects within each other are refused", objects(31), "message.parts[1].data"),
  data("45 arrays within each other are valid", arrays(45)),
  data("46 arrays within each other are refused", arrays(46), "message.parts[1].data"),
  send("30 objects of metadata within each other are valid", { metadata: objects(30) }),
  send("31 objects of metadata within each other are refused", { metadata: objects(31) }, "message.metadata"),
  send("A hundred thousand objects within each other are refused", { metadata: objects(100_000) }, "message.metadata"),
  of(
    "Metadata of the request is looked at",
    a2a.SendMessageRequestSchema,
    { message: user, metadata: objects(31) },
    "metadata",
  ),

  send("Ids of 256 bytes are valid", {
    messageId: longestId,
    contextId: longestId,
    taskId: longestId,
    referenceTaskIds: [longestId],
  }),
  send("An id of 257 bytes in 129 characters is refused", { messageId: `${longestId}a` }, "message.message_id"),
  send("A long context id is refused", { contextId: "a".repeat(257) }, "message.context_id"),
  send("A long task id is refused", { taskId: "a".repeat(257) }, "message.task_id"),
  send(
    "A long reference is refused by its place",
    { referenceTaskIds: ["a", "€".repeat(86)] },
    "message.reference_task_ids[1]",
  ),
  of("A long tenant is refused", a2a.GetExtendedAgentCardRequestSchema, { tenant: "a".repeat(257) }, "tenant"),
  of(
    "A long artifact id is refused",
    a2a.ArtifactSchema,
    { artifactId: "a".repeat(257), parts: [text] },
    "artifact_id",
  ),
  of("A task without an id is refused", a2a.GetTaskRequestSchema, {}, "id"),
  of("A long task id is refused in CancelTask", a2a.CancelTaskRequestSchema, { id: "a".repeat(257) }, "id"),
  of("A long task id is refused in SubscribeToTask", a2a.SubscribeToTaskRequestSchema, { id: "a".repeat(257) }, "id"),
  of("Both ids of a push config are named", a2a.GetTaskPushNotificationConfigRequestSchema, {}, "task_id", "id"),

  configured("History length 0 is valid", { historyLength: 0 }),
  configured("A negative history length is refused", { historyLength: -1 }, "configuration.history_length"),
  configured("A push config inside needs no ids", { taskPushNotificationConfig: { url: "https://a" } }),
  configured(
    "A push config inside needs a URL",
    { taskPushNotificationConfig: {} },
    "configuration.task_push_notification_config.url",
  ),
  configured(
    "Authentication needs a scheme",
    { taskPushNotificationConfig: { url: "https://a", authentication: { credentials: "c" } } },
    "configuration.task_push_notification_config.authentication.scheme",
  ),
  of(
    "A negative history length is refused in GetTask",
    a2a.GetTaskRequestSchema,
    { id: "t", historyLength: -1 },
    "history_length",
  ),
  of("An empty ListTasks is valid", a2a.ListTasksRequestSchema, {}),
  of("Page size 1 is valid", a2a.ListTasksRequestSchema, page(1)),
  of("Page size 100 is valid", a2a.ListTasksRequestSchema, page(100)),
  of("Page size 0 is refused", a2a.ListTasksRequestSchema, page(0), "page_size"),
  of("Page size 101 is refused", a2a.ListTasksRequestSchema, page(101), "page_size"),
  of("A negative page size is refused", a2a.ListTasksRequestSchema, page(-1), "page_size"),
  of(
    "A negative history length is refused in ListTasks",
    a2a.ListTasksRequestSchema,
    { historyLength: -5 },
    "history_length",
  ),
  of(
    "An unknown state is refused though the filter is optional",
    a2a.ListTasksRequestSchema,
    { status: 99 as a2a.TaskState },
    "status",
  ),
  of("The first time is valid", a2a.ListTasksRequestSchema, time(-62_135_596_800n)),
  of("The last time is valid", a2a.ListTasksRequestSchema, time(253_402_300_799n, 999_999_999)),
  of("A time before year 1 is refused", a2a.ListTasksRequestSchema, time(-62_135_596_801n), "status_timestamp_after"),
  of("A time after year 9999 is refused", a2a.ListTasksRequestSchema, time(253_402_300_800n), "status_timestamp_after"),
  of("Negative nanoseconds are refused", a2a.ListTasksRequestSchema, time(0n, -1), "status_timestamp_after"),
  of(
    "A second of nanoseconds is refused",
    a2a.ListTasksRequestSchema,
    time(0n, 1_000_000_000),
    "status_timestamp_after",
  ),
  of("Page size 0 of push configs is valid", a2a.ListTaskPushNotificationConfigsRequestSchema, {
    taskId: "t",
    pageSize: 0,
  }),
  of(
    "Page size 101 of push configs is refused",
    a2a.ListTaskPushNotificationConfigsRequestSchema,
    { taskId: "t", pageSize: 101 },
    "page_size",
  ),
  of(
    "Page size -1 of push configs is refused",
    a2a.ListTaskPushNotificationConfigsRequestSchema,
    { taskId: "t", pageSize: -1 },
    "page_size",
  ),

  of("An empty page of tasks is valid", a2a.ListTasksResponseSchema, {}),
  of("A response without payload is refused", a2a.StreamResponseSchema, {}, "payload"),
  of(
    "Faults within a oneof are named by its member",
    a2a.StreamResponseSchema,
    { payload: { case: "statusUpdate", value: { taskId: "t", contextId: "c", status: {} } } },
    "status_update.status.state",
  ),
  of(
    "Map values are named by their key",
    a2a.AgentCardSchema,
    scheme({ scheme: { case: "httpAuthSecurityScheme", value: {} } }),
    'security_schemes["a \\"b\\""].http_auth_security_scheme.scheme',
  ),
  of(
    "Scopes may be empty",
    a2a.AgentCardSchema,
    scheme({
      scheme: { case: "oauth2SecurityScheme", value: { flows: { flow: { case: "authorizationCode", value: flow } } } },
    }),
  ),

  of("WatchTask needs a task id", tasks.WatchTaskRequestSchema, {}, "task_id"),
  of("Sequence 0 is left to the log", tasks.GetTaskAtRequestSchema, { taskId: "t", sequence: 0n }),
  of("GetTaskAt needs a task id", tasks.GetTaskAtRequestSchema, {}, "task_id"),
  of("TaskExists needs a task id", tasks.TaskExistsRequestSchema, {}, "task_id"),
  of("DeleteTask needs a task id", tasks.DeleteTaskRequestSchema, {}, "task_id"),
  of("GetConversation needs a context id", conversations.GetConversationRequestSchema, {}, "context_id"),
  of(
    "UpdateConversationAccess needs a context id",
    conversations.UpdateConversationAccessRequestSchema,
    {},
    "context_id",
  ),
  of("DeleteConversation needs a context id", conversations.DeleteConversationRequestSchema, {}, "context_id"),
  of("DeleteMessage needs a message id", conversations.DeleteMessageRequestSchema, {}, "message_id"),
  of("ListMessages needs a context id", conversations.ListMessagesRequestSchema, {}, "context_id"),
  of("Page size 0 of conversations is refused", conversations.ListConversationsRequestSchema, page(0), "page_size"),
  of("All messages are a valid limit", conversations.ListMessagesRequestSchema, { contextId: "c", limit: -1 }),
  of("One message is a valid limit", conversations.ListMessagesRequestSchema, { contextId: "c", limit: 1 }),
  of("Limit 0 is refused", conversations.ListMessagesRequestSchema, { contextId: "c", limit: 0 }, "limit"),
  of("Limit -2 is refused", conversations.ListMessagesRequestSchema, { contextId: "c", limit: -2 }, "limit"),
  of(
    "A limit with a page size is refused",
    conversations.ListMessagesRequestSchema,
    { contextId: "c", limit: 1, pageSize: 1 },
    "limit",
  ),
  of(
    "A limit with a page token is refused",
    conversations.ListMessagesRequestSchema,
    { contextId: "c", limit: 1, pageToken: "p" },
    "limit",
  ),
  of("Pages without a limit are valid", conversations.ListMessagesRequestSchema, {
    contextId: "c",
    pageSize: 100,
    pageToken: "p",
  }),
  of(
    "Page size 101 of messages is refused",
    conversations.ListMessagesRequestSchema,
    { contextId: "c", pageSize: 101 },
    "page_size",
  ),
  of("Age 0 is valid", conversations.CleanupExpiredConversationsRequestSchema, { maxAgeMs: 0n }),
  of(
    "A negative age is refused",
    conversations.CleanupExpiredConversationsRequestSchema,
    { maxAgeMs: -1n },
    "max_age_ms",
  ),
])("$name", ({ schema, message, paths }) => {
  expect(validate(schema, message).map((violation) => violation.field)).toEqual(paths);
});

test("A violation says the reason and what would have been accepted", () => {
  const message = { messageId: "", role: 99 as a2a.Role, parts: [{}], contextId: "a".repeat(300) };
  expect(validate(a2a.SendMessageRequestSchema, create(a2a.SendMessageRequestSchema, { message }))).toEqual([
    { field: "message.message_id", description: "is missing: a value that is not empty is required" },
    { field: "message.context_id", description: "must have at most 256 bytes of UTF-8" },
    { field: "message.role", description: "is 99, which Role doesn't have: one of ROLE_USER, ROLE_AGENT is accepted" },
    { field: "message.parts[0].content", description: "is not set: exactly one of text, raw, url, data is required" },
  ]);
  expect(
    validate(a2a.ListTasksRequestSchema, create(a2a.ListTasksRequestSchema, { pageSize: 150, historyLength: -3 })),
  ).toEqual([
    { field: "page_size", description: "is 150: 1 to 100 is accepted" },
    { field: "history_length", description: "is -3: 0 or more is accepted" },
  ]);
});

test("The first violations are collected up to the bound, and nothing is looked at behind it", () => {
  const request = create(a2a.SendMessageRequestSchema, {
    message: { ...user, parts: Array.from({ length: violationsMax }, () => ({})) },
  });
  const unread = create(a2a.PartSchema);
  Object.defineProperty(unread, "content", {
    get() {
      throw new Error("read");
    },
  });
  request.message?.parts.push(unread);
  const paths = validate(a2a.SendMessageRequestSchema, request).map((violation) => violation.field);
  expect(paths).toEqual(Array.from({ length: violationsMax }, (_, index) => `message.parts[${index}].content`));
});

test.for([
  { name: "objects", json: objects(30) },
  { name: "arrays", json: arrays(45) },
])("The deepest valid $name can be stored, read and printed in the deepest place", ({ json }) => {
  const message = { ...user, parts: [{ content: { case: "data" as const, value: value(json) } }] };
  const payload = {
    case: "statusUpdate" as const,
    value: { taskId: "t", contextId: "c", status: { state: a2a.TaskState.WORKING, message } },
  };
  const response = create(tasks.WatchTaskResponseSchema, { payload: { case: "event", value: { payload } } });
  const again = fromBinary(tasks.WatchTaskResponseSchema, toBinary(tasks.WatchTaskResponseSchema, response));
  expect(toJson(tasks.WatchTaskResponseSchema, again)).toEqual(toJson(tasks.WatchTaskResponseSchema, response));
});

const files = [
  a2a.file_lf_a2a_v1_a2a,
  tasks.file_taskmanager_v1_task_manager,
  conversations.file_taskmanager_v1_conversation,
];
const types = files.flatMap((file) => file.messages);

test("Every rule is for a field or oneof that exists", () => {
  const members = types.flatMap((type) => type.members.map((member) => `${type.typeName}.${member.name}`));
  const ruled = Object.entries(rules).flatMap(([type, fields]) =>
    Object.keys(fields).map((field) => `${type}.${field}`),
  );
  expect(ruled.filter((name) => !members.includes(name))).toEqual([]);
});

test("Every id and tenant of a request is bounded", () => {
  const requests = files
    .flatMap((file) => file.services)
    .flatMap((service) => service.methods.map((method) => method.input));
  const ids = requests.flatMap((type) =>
    type.fields.filter((field) => /^(tenant|id|\w+_id)$/.test(field.name)).map((field) => ({ type, field })),
  );
  expect(ids.length).toBeGreaterThan(30);
  const unbounded = ids.filter(({ type, field }) => rules[type.typeName]?.[field.name]?.bytesMax !== idBytesMax);
  expect(unbounded.map(({ type, field }) => `${type.name}.${field.name}`)).toEqual([]);
});

test.for(types)("%s can be checked", (type) => {
  expect(() => validate(type, create(type))).not.toThrow();
});
