import { fromBinary, toBinary } from "@bufbuild/protobuf";
import type { Message, Task } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, EntrySchema, TaskSummarySchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { TaskFold } from "../domain/fold.ts";
import { storeTextChunk } from "./text-chunk.ts";

interface Ids {
  readonly taskId: string;
  readonly contextId: string;
}

/**
 * An entry as bytes. Must be called before `fillIds`: the stored form has no ids. The key of the log has them, and a
 * stream of small chunks would consist mostly of ids otherwise.
 */
export function encodeEntry(entry: Entry): Uint8Array {
  return toBinary(EntrySchema, entry);
}

/** The entry in the bytes, with the ids filled in. A "created" entry has its own context id. */
export function decodeEntry(bytes: Uint8Array, ids: Ids): Entry {
  const entry = fromBinary(EntrySchema, bytes);
  fillIds(entry, ids);
  return entry;
}

/**
 * Encodes an entry, and gives it as it reads back from the bytes. So what is folded and shown is what is stored, even
 * if an agent or a client changes its objects later. The caller must not use the entry itself again. Throws if it
 * cannot be encoded.
 */
export function storeEntry(entry: Entry, ids: Ids): { readonly encoded: Uint8Array; readonly stored: Entry } {
  const chunk = storeTextChunk(entry, ids);
  if (chunk !== undefined) return chunk;
  const encoded = encodeEntry(entry);
  if (!isOwn(entry)) return { encoded, stored: decodeEntry(encoded, ids) };
  fillIds(entry, ids);
  return { encoded, stored: entry };
}

/** Whether `decide.ts` made all of the entry: then no agent and no client holds an object of it. */
function isOwn({ body }: Entry): boolean {
  switch (body.case) {
    case "turn":
    case "turnStopped":
    case "takeover":
      return true;
    case "statusUpdate":
      return body.value.metadata === undefined && body.value.status?.message === undefined;
    default:
      return false;
  }
}

/** Puts the ids back into the bodies, as clients see them (R83, R125). */
export function fillIds(entry: Entry, { taskId, contextId }: Ids): void {
  const { body } = entry;
  switch (body.case) {
    case "created": {
      const task = body.value.task;
      if (task === undefined) return;
      task.id = taskId;
      for (const message of task.history) fillMessage(message, taskId, task.contextId);
      return;
    }
    case "message":
      if (body.value.message !== undefined) fillMessage(body.value.message, taskId, contextId);
      return;
    case "statusUpdate":
      body.value.taskId = taskId;
      body.value.contextId = contextId;
      if (body.value.status?.message !== undefined) fillMessage(body.value.status.message, taskId, contextId);
      return;
    case "artifactUpdate":
      body.value.taskId = taskId;
      body.value.contextId = contextId;
      return;
    case "turn":
    case "turnStopped":
    case "stepResult":
    case "takeover":
    case "cancelRequested":
    case "stateSet":
    case undefined:
      return;
    default:
      body satisfies never;
  }
}

function fillMessage(message: Message, taskId: string, contextId: string): void {
  message.taskId = taskId;
  message.contextId = contextId;
}

/** The part of a task that lists show, as bytes: everything but history and artifacts. */
export function encodeSummary(fold: Pick<TaskFold, "taskId" | "contextId" | "status" | "metadata">): Uint8Array {
  const { taskId, contextId, status, metadata } = fold;
  const task: Task = {
    $typeName: "lf.a2a.v1.Task",
    id: taskId,
    contextId,
    status,
    history: [],
    artifacts: [],
    ...(metadata && { metadata }),
  };
  return toBinary(TaskSummarySchema, { $typeName: "taskmanager.storage.v1.TaskSummary", task });
}
