import {
  create,
  type DescMessage,
  isMessage,
  type JsonObject,
  type Message,
  type MessageInitShape,
  type MessageShape,
} from "@bufbuild/protobuf";
import {
  type AgentExtensionSchema,
  type StreamResponse,
  StreamResponseSchema,
  type Task,
  TaskArtifactUpdateEventSchema,
  TaskSchema,
  TaskStatusUpdateEventSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import { streamResponse } from "../../domain/entry.ts";
import type { TaskAt } from "../../domain/fold.ts";
import { invalidRequest } from "../../domain/task-error.ts";
import type { A2ACall } from "../admission/a2a-call.ts";

// The extension event-sequence, as docs/extensions/event-sequence.md specifies it. Nothing of it is stored: it is added
// to answers.

export const eventSequenceUri = "urn:a2a-task-manager:extensions:event-sequence:v1";
/** The member of `metadata` with the sequence, a decimal string: JSON has no integers of 64 bits. */
export const sequenceKey = `${eventSequenceUri}/sequence`;
/** The header and the gRPC metadata with the last sequence that a client has seen. */
export const cursorParameter = "Last-Event-ID";

/** As the card declares it. */
export const eventSequence: MessageInitShape<typeof AgentExtensionSchema> = {
  uri: eventSequenceUri,
  description:
    "Tasks and events have their sequence in metadata; " +
    "Last-Event-ID on SubscribeToTask and SendStreamingMessage is the sequence to continue after",
};

const sequenceMax = 2n ** 64n - 1n;

/**
 * The cursor of a call in which the extension is active, undefined without one. Throws TaskError INVALID_REQUEST for a
 * cursor that is no sequence.
 */
export function cursorOf(call: A2ACall, header: Pick<Headers, "get">): bigint | undefined {
  // An extension that isn't active has no effect (R144): the stream begins with the task, as the contract says.
  const given = isActive(call) ? header.get(cursorParameter) : null;
  if (given === null || given === "") return undefined;
  const cursor = /^\d{1,20}$/.test(given) ? BigInt(given) : sequenceMax + 1n;
  if (cursor <= sequenceMax) return cursor;
  throw invalidRequest([
    { field: cursorParameter, description: "must be a sequence: a decimal number from 0 to 18446744073709551615" },
  ]);
}

/** The task, with its sequence in `metadata` where the extension is active. */
export function numberTask(call: A2ACall, { task, sequence }: TaskAt): Task {
  if (isActive(call)) task.metadata = numbered(task.metadata, sequence);
  return task;
}

/** The events of a stream, each with its sequence if the extension is active. */
export function numberEvents(call: A2ACall, subscriber: TaskSubscriber): AsyncIterable<StreamResponse> {
  return isActive(call) ? numberEach(subscriber) : subscriber;
}

/**
 * The sequence of an event of `numberEvents`, which the JSON bindings send as the event's id. Undefined if the
 * extension isn't active, for a bare message, and for a message that is no event of the contract.
 */
export function eventIdOf(event: Message): string | undefined {
  if (!isMessage(event, StreamResponseSchema)) return undefined;
  const sequence = event.payload.value?.metadata?.[sequenceKey];
  return typeof sequence === "string" ? sequence : undefined;
}

function isActive({ extensions }: A2ACall): boolean {
  return extensions.has(eventSequenceUri);
}

async function* numberEach(subscriber: TaskSubscriber): AsyncGenerator<StreamResponse> {
  for await (const event of subscriber) yield numberEvent(event, subscriber.cursor);
}

/** A copy with the sequence: all readers of a task share its events. */
function numberEvent(event: StreamResponse, sequence: bigint): StreamResponse {
  const { payload } = event;
  switch (payload.case) {
    case "task":
      return streamResponse({ case: "task", value: numberedCopy(TaskSchema, payload.value, sequence) });
    case "statusUpdate":
      return streamResponse({
        case: "statusUpdate",
        value: numberedCopy(TaskStatusUpdateEventSchema, payload.value, sequence),
      });
    case "artifactUpdate":
      return streamResponse({
        case: "artifactUpdate",
        value: numberedCopy(TaskArtifactUpdateEventSchema, payload.value, sequence),
      });
    // A bare message belongs to no task, so to no log.
    case "message":
    case undefined:
      return event;
    default:
      return payload satisfies never;
  }
}

function numberedCopy<Desc extends DescMessage>(
  schema: Desc,
  value: MessageShape<Desc> & { metadata?: JsonObject | undefined },
  sequence: bigint,
): MessageShape<Desc> {
  return Object.assign(create(schema), value, { metadata: numbered(value.metadata, sequence) });
}

function numbered(metadata: JsonObject | undefined, sequence: bigint): JsonObject {
  return { ...metadata, [sequenceKey]: String(sequence) };
}
