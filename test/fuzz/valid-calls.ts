import { type DescField, type DescMessage, type DescMethod, getOption, ScalarType } from "@bufbuild/protobuf";
import { FieldBehavior, field_behavior } from "../../gen/google/api/field_behavior_pb.ts";
import { A2AService } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { ConversationService } from "../../gen/taskmanager/v1/conversation_pb.ts";
import { TaskManagerService } from "../../gen/taskmanager/v1/task_manager_pb.ts";
import type { Random, Values } from "./random.ts";

/** A task that the calls of a round may name. */
export interface KnownTask {
  readonly id: string;
  readonly contextId: string;
}

/** The tasks that every round begins with. Calls name them by their place, so that a call is made again from a seed. */
export interface KnownTasks {
  /** Terminal, for reading. */
  readonly done: readonly KnownTask[];
  /** They wait for input. */
  readonly waiting: readonly KnownTask[];
  /** Terminal, for calls that delete. */
  readonly doomed: readonly KnownTask[];
}

export type Json = Record<string, unknown>;

/** A call with a request that the server takes, as ProtoJSON. */
export interface Call {
  readonly method: DescMethod;
  readonly request: Json;
}

export interface Source {
  readonly random: Random;
  readonly values: Values;
  readonly tasks: KnownTasks;
  /** No other input of the run has it. */
  readonly unique: string;
}

const a2a = A2AService.method;
const own = { ...TaskManagerService.method, ...ConversationService.method };

/** How often each method is called. Those that write come most often. */
const a2aWeights: readonly (readonly [DescMethod, number])[] = [
  [a2a.sendMessage, 30],
  [a2a.sendStreamingMessage, 15],
  [a2a.getTask, 10],
  [a2a.listTasks, 5],
  [a2a.subscribeToTask, 2],
  [a2a.cancelTask, 2],
  [a2a.createTaskPushNotificationConfig, 1],
  [a2a.getTaskPushNotificationConfig, 1],
  [a2a.listTaskPushNotificationConfigs, 1],
  [a2a.deleteTaskPushNotificationConfig, 1],
  [a2a.getExtendedAgentCard, 1],
];
const ownWeights: readonly (readonly [DescMethod, number])[] = [
  [own.watchTask, 6],
  [own.getTaskAt, 5],
  [own.taskExists, 2],
  [own.deleteTask, 2],
  [own.getConversation, 2],
  [own.listMessages, 4],
  [own.listConversations, 2],
  [own.getConversationStats, 1],
  [own.updateConversationAccess, 1],
  [own.deleteMessage, 1],
  [own.deleteConversation, 1],
  [own.cleanupExpiredConversations, 1],
];
const spread = (weights: readonly (readonly [DescMethod, number])[]) =>
  weights.flatMap(([method, weight]) => Array<DescMethod>(weight).fill(method));
const a2aMethods = spread(a2aWeights);
const allMethods = [...a2aMethods, ...spread(ownWeights)];

/** A success of one of these has read or appended to the log of a task. */
export const logMethods: ReadonlySet<DescMethod> = new Set<DescMethod>([
  a2a.sendMessage,
  a2a.sendStreamingMessage,
  a2a.getTask,
  a2a.listTasks,
  a2a.subscribeToTask,
  a2a.cancelTask,
  own.watchTask,
  own.getTaskAt,
  own.listMessages,
]);

export function validCall(source: Source, services: "a2a" | "all"): Call {
  const method = source.random.pick(services === "a2a" ? a2aMethods : allMethods);
  return { method, request: validMessage(method.input, source) };
}

/** A message that passes the server's validation, by its descriptor and the table below. */
export function validMessage(desc: DescMessage, source: Source): Json {
  const message: Json = {};
  for (const field of desc.fields) {
    const rule = rules[`${desc.name}.${field.name}`] ?? rules[field.name];
    const value = rule === undefined ? anyValue(field, source) : rule(source, message);
    if (value !== undefined) message[field.jsonName] = value;
  }
  return message;
}

const textOf = ({ random, values }: Source) => random.pick(values.texts);
const maybe = <T>({ random }: Source, value: () => T, share = 0.3): T | undefined =>
  random.chance(share) ? value() : undefined;

/** What the demo agent is told. None of it runs long, or waits for more than input. */
const said: readonly string[] = ["hello", "stream 2", "count 2 0", "ask why", "fail x", "reject x", "reply x", "x y"];

type Rule = (source: Source, message: Json) => unknown;
const never: Rule = () => undefined;
const knownTask: Rule = ({ random, tasks }) => random.pick(tasks.done).id;
const doomedTask: Rule = ({ random, tasks }) => random.pick(tasks.doomed).id;
const knownContext: Rule = ({ random, tasks }) => random.pick(tasks.done).contextId;
const pageSize: Rule = (source) => maybe(source, () => 1 + source.random.below(100));

/** Fields whose meaning no descriptor tells, by message and name or by name alone. */
const rules: Readonly<Record<string, Rule>> = {
  tenant: never,
  "SendMessageRequest.tenant": (source) => maybe(source, () => source.random.pick(["t1", "ü", "T1"]), 0.1),
  task_push_notification_config: never,
  accepted_output_modes: (source) => maybe(source, () => ["text/plain"]),
  history_length: (source) => maybe(source, () => source.random.below(5)),
  "Message.message_id": ({ unique, random, values }) =>
    random.chance(0.1) ? `${unique}${random.pick(values.texts)}` : unique,
  "Message.task_id": ({ random, tasks }, message) => {
    if (!random.chance(0.05)) return undefined;
    const { id, contextId } = random.pick(tasks.waiting);
    message.contextId = contextId;
    return id;
  },
  "Message.context_id": (source) =>
    source.random.chance(0.2) ? knownContext(source, {}) : maybe(source, () => `c${textOf(source)}`, 0.2),
  "Message.role": () => "ROLE_USER",
  "Message.parts": (source) => [
    { text: source.random.chance(0.5) ? source.random.pick(said) : `echo ${textOf(source)}` },
    ...Array.from({ length: source.random.below(3) }, () => partOf(source)),
  ],
  "Message.reference_task_ids": (source) => maybe(source, () => [knownTask(source, {})], 0.1),
  "GetTaskRequest.id": knownTask,
  "SubscribeToTaskRequest.id": ({ random, tasks }) => random.pick(tasks.waiting).id,
  "CancelTaskRequest.id": ({ random, tasks }) => random.pick(tasks.waiting).id,
  "ListTasksRequest.context_id": (source) => maybe(source, () => knownContext(source, {})),
  status: (source) => maybe(source, () => source.random.pick(["TASK_STATE_COMPLETED", "TASK_STATE_FAILED"])),
  page_size: pageSize,
  page_token: never,
  task_id: knownTask,
  context_id: knownContext,
  sequence: ({ random }) => String(1 + random.below(2)),
  after_sequence: (source) => maybe(source, () => String(source.random.below(3))),
  limit: (source, message) =>
    message.pageSize === undefined ? maybe(source, () => 1 + source.random.below(9)) : undefined,
  "ListMessagesRequest.page_size": never,
  "DeleteTaskRequest.task_id": doomedTask,
  "DeleteConversationRequest.context_id": ({ random, tasks }) => random.pick(tasks.doomed).contextId,
  "DeleteMessageRequest.message_id": textOf,
  "CleanupExpiredConversationsRequest.max_age_ms": () => "3600000",
};

function partOf(source: Source): Json {
  const { random, values } = source;
  const metadata = random.chance(0.2) ? { metadata: random.pick(values.objects) } : {};
  return random.chance(0.5)
    ? { text: textOf(source), ...metadata, ...(random.chance(0.2) && { mediaType: "text/plain" }) }
    : { data: random.pick(values.free), ...metadata, ...(random.chance(0.2) && { mediaType: "application/json" }) };
}

function anyValue(field: DescField, source: Source): unknown {
  const isRequired = getOption(field, field_behavior).includes(FieldBehavior.REQUIRED);
  if (field.oneof !== undefined || (!isRequired && !source.random.chance(0.3))) return undefined;
  if (field.fieldKind === "list") return [elementOf(field, source)];
  return field.fieldKind === "map" ? {} : elementOf(field, source);
}

function elementOf({ message, enum: desc, scalar }: DescField, source: Source): unknown {
  const { random, values } = source;
  if (message?.typeName === "google.protobuf.Struct") return random.pick(values.objects);
  if (message?.typeName === "google.protobuf.Value") return random.pick(values.free);
  if (message?.typeName === "google.protobuf.Timestamp") return new Date(random.below(2 ** 31) * 1000).toISOString();
  if (message !== undefined) return validMessage(message, source);
  if (desc !== undefined) return random.pick(desc.values.slice(1)).name;
  switch (scalar) {
    case ScalarType.STRING:
      return `s${textOf(source)}`;
    case ScalarType.BOOL:
      return random.chance(0.5);
    case ScalarType.BYTES:
      return Buffer.from(random.bytes(random.below(9))).toString("base64");
    default:
      return random.below(100);
  }
}
