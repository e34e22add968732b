import { type Binary, MongoBulkWriteError, Timestamp } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { MessagePointer } from "../../storage.ts";
import { belongingOf, type MongoContext } from "../context.ts";
import { messageKey, pointerKey } from "../keys.ts";
import type { InnerPointer, MessageRecord } from "../records.ts";

/** The server replaces an empty timestamp in a new record by the present time, later than all before. */
export const now = new Timestamp({ t: 0, i: 0 });

/** The log that pointers refer to. */
export interface PointedLog {
  readonly scope: Scope;
  readonly task: Binary;
  readonly taskId: string;
  readonly log: Binary;
  readonly conversation: Binary;
  readonly contextId: string;
  readonly incarnation: Binary;
}

/** The pointers' records for a batch that is appended after the sequence `after`. */
export function pointerRecords(
  { scope, task, taskId, log, conversation, contextId, incarnation }: PointedLog,
  after: number,
  batch: string,
  messages: readonly MessagePointer[],
  expiry: { readonly expireAt?: Date },
): readonly MessageRecord[] {
  return messages.map(({ index, messageId, timeMs }) => ({
    _id: pointerKey(log, after + index + 1, batch),
    key: messageKey(scope, messageId),
    messageId,
    conversation,
    contextId,
    time: timeMs,
    taskId,
    sequence: after + index + 1,
    task,
    log,
    batch,
    at: now,
    ...belongingOf(incarnation, expiry),
  }));
}

/** A pointer in its task's record. */
export function innerPointer(scope: Scope, after: number, { index, messageId, timeMs }: MessagePointer): InnerPointer {
  return { time: timeMs, sequence: after + index + 1, messageId, key: messageKey(scope, messageId) };
}

/** Writes pointers. A pointer that exists is from an earlier try of the same append, and equal. */
export async function writePointers(context: MongoContext, records: readonly MessageRecord[]): Promise<void> {
  if (records.length === 0) {
    return;
  }
  try {
    await context.collections.messages.insertMany(records, { ordered: false });
  } catch (error) {
    if (!isOnlyDuplicates(error)) {
      throw error;
    }
  }
}

export async function removePointers(context: MongoContext, records: readonly MessageRecord[]): Promise<void> {
  if (records.length > 0) {
    await context.collections.messages.deleteMany({ _id: { $in: records.map(({ _id }) => _id) } });
  }
}

/** Whether the only errors are records that exist, and a majority has the others. */
export function isOnlyDuplicates(error: unknown): error is MongoBulkWriteError {
  return (
    error instanceof MongoBulkWriteError &&
    error.code === 11000 &&
    error.result.getWriteConcernError() === undefined &&
    error.result.getWriteErrors().every(({ code }) => code === 11000)
  );
}
