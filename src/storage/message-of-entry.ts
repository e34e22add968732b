import { fromBinary } from "@bufbuild/protobuf";
import type { Message } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, EntrySchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { messageInEntry } from "../domain/entry.ts";
import { StorageError } from "./storage-error.ts";

/**
 * The message that an encoded `Entry` brings to its conversation's history, or undefined if it brings none. Entries
 * leave out what the key of their log says, so empty ids of the task and the context are filled in. Throws
 * `StorageError` "corrupt" if the bytes are no entry.
 */
export function historyMessageOf(
  bytes: Uint8Array,
  ids: { readonly taskId: string; readonly contextId: string },
): Message | undefined {
  const message = messageInEntry(decode(bytes, ids.taskId));
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

function decode(bytes: Uint8Array, taskId: string): Entry {
  try {
    return fromBinary(EntrySchema, bytes);
  } catch (error) {
    throw new StorageError("corrupt", `The log of task "${taskId}" holds something other than an entry`, {
      cause: error,
    });
  }
}
