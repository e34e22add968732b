import { create, equals } from "@bufbuild/protobuf";
import { type Message, MessageSchema, type StreamResponse, type TaskStatus } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { entersHistory } from "./fold.ts";

/** An entry with its place in the log. */
export interface PlacedEntry {
  readonly sequence: bigint;
  readonly entry: Entry;
  /** Its encoded size. */
  readonly bytes: number;
}

/** A copy of a message as it is stored: without the ids that are in the log's key. */
export function storedMessage(message: Message): Message {
  const copy = create(MessageSchema);
  Object.assign(copy, message);
  copy.taskId = "";
  copy.contextId = "";
  return copy;
}

/** A copy of a message that belongs to a conversation, but to no task. */
export function messageInContext(message: Message, contextId: string): Message {
  const copy = storedMessage(message);
  copy.contextId = contextId;
  return copy;
}

/** Whether two messages of one task are the same message sent twice: equal except for the ids of task and context. */
export function sameMessage(a: Message, b: Message): boolean {
  return a.messageId === b.messageId && equals(MessageSchema, storedMessage(a), storedMessage(b));
}

/** The message that an entry holds, whether or not it belongs in the conversation's history. */
export function messageInEntry({ body }: Entry): Message | undefined {
  switch (body.case) {
    case "created":
      return body.value.task?.history[0];
    case "message":
      return body.value.message;
    case "statusUpdate":
      return body.value.status?.message;
    default:
      return undefined;
  }
}

/** The message that an entry adds to the conversation's history; undefined if it adds none. */
export function messageForHistory(entry: Entry): Message | undefined {
  const status = statusOf(entry);
  const isUpdate = entry.body.case === "statusUpdate";
  return isUpdate && status !== undefined && !entersHistory(status) ? undefined : messageInEntry(entry);
}

/** The event that readers of a stream see, or undefined for an internal entry. */
export function eventOf(entry: Entry): StreamResponse | undefined {
  const { body } = entry;
  switch (body.case) {
    case "created":
      return body.value.task && streamResponse({ case: "task", value: body.value.task });
    case "statusUpdate":
      return streamResponse({ case: "statusUpdate", value: body.value });
    case "artifactUpdate":
      return streamResponse({ case: "artifactUpdate", value: body.value });
    default:
      return undefined;
  }
}

export function streamResponse(payload: StreamResponse["payload"]): StreamResponse {
  return { $typeName: "lf.a2a.v1.StreamResponse", payload };
}

/** The status that an entry sets; undefined if it sets none. */
export function statusOf(entry: Entry): TaskStatus | undefined {
  if (entry.body.case === "statusUpdate") return entry.body.value.status;
  return entry.body.case === "created" ? entry.body.value.task?.status : undefined;
}

export type EntryBody = Entry["body"];

export function makeEntry(timeMs: number, body: EntryBody): Entry {
  return { $typeName: "taskmanager.storage.v1.Entry", timeMs: BigInt(timeMs), body };
}
