import { fromBinary } from "@bufbuild/protobuf";
import type { Message } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, EntrySchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { StorageError } from "./storage-error.ts";

/**
 * Decodes an `Entry` and returns the message that it adds to its conversation's history, or undefined if it adds none.
 * Entries leave out the ids of their task and context, so these are filled in. Throws `StorageError` "corrupt" if the
 * bytes are not an entry.
 */
export function historyMessageOf(
  bytes: Uint8Array,
  ids: { readonly taskId: string; readonly contextId: string },
): Message | undefined {
  const message = messageIn(decode(bytes, ids.taskId));
  if (message === undefined) {
    return undefined;
  }
  if (message.taskId === "") {
    message.taskId = ids.taskId;
  }
  if (message.contextId === "") {
    message.contextId = ids.contextId;
  }
  return message;
}

function messageIn(entry: Entry): Message | undefined {
  const { body } = entry;
  switch (body.case) {
    case "created":
      return body.value.task?.history[0];
    case "message":
      return body.value.message;
    case "statusUpdate":
      return body.value.status?.message;
    case "artifactUpdate":
    case "turn":
    case "stepResult":
    case "takeover":
    case "cancelRequested":
    // An entry of a kind that this release doesn't know has no case.
    case undefined:
      return undefined;
    default:
      body satisfies never;
      return undefined;
  }
}

function decode(bytes: Uint8Array, taskId: string): Entry {
  try {
    return fromBinary(EntrySchema, bytes);
  } catch (error) {
    throw new StorageError("corrupt", `The log of task "${taskId}" holds something other than an entry`, {
      cause: error,
    });
  }
}
