import type { Binary, Document, Timestamp } from "mongodb";
import { compareIds } from "../../compare-ids.ts";
import type { MongoContext } from "../context.ts";
import { allOf } from "../errors.ts";
import type { ConversationRecord, MessageRecord, TaskRecord } from "../records.ts";
import { joinParent } from "./conversations.ts";
import type { Found, Pointer } from "./history.ts";
import { locate } from "./history.ts";

/** A place in a history. */
export interface Place {
  readonly time: number;
  readonly taskId: string;
  readonly sequence: number;
}

/** Lower than every time. */
const timeMin = Number.MIN_SAFE_INTEGER;

/** The names of a pointer's fields, in a record of its own and in its task's record. */
const ownFields = { time: "time", sequence: "sequence", key: "key", at: "at" } as const;
const innerFields = {
  first: { time: "first.time", sequence: "first.sequence", key: "first.key", at: "at" },
  last: { time: "last.time", sequence: "last.sequence", key: "last.key", at: "last.at" },
} as const;
type InnerField = keyof typeof innerFields;
type Fields = typeof ownFields | (typeof innerFields)[InnerField];

/**
 * The next pointers of a history from a place on, in its order ("up") or in reverse ("down"). At most `limit`, from
 * all three places.
 */
export async function findPointers(
  context: MongoContext,
  incarnation: Binary,
  range: { readonly direction: "up" | "down"; readonly after: Place | undefined; readonly limit: number },
): Promise<readonly Pointer[]> {
  const { messages, tasks } = context.collections;
  const { direction, after, limit } = range;
  const filter = (fields: Fields) => ({ incarnation, ...beyond(fields, direction, after) }) as Document;
  const order = direction === "up" ? 1 : -1;
  const sort = (fields: Fields) =>
    ({ [fields.time]: order, taskId: order, [fields.sequence]: order }) as Record<string, 1 | -1>;
  const inner = async (field: InnerField) => {
    const fields = innerFields[field];
    const found = tasks
      .find(filter(fields), { projection: innerProjection(field) })
      .sort(sort(fields))
      .limit(limit);
    return (await found.toArray()).map((record) => innerPointerOf(record, field));
  };
  const [own, first, last] = await allOf([
    messages.find(filter(ownFields)).sort(sort(ownFields)).limit(limit).toArray(),
    inner("first"),
    inner("last"),
  ]);
  const pointers = [...own.map(ownPointer), ...first, ...last];
  return pointers.sort((a, b) => order * comparePlaces(a, b)).slice(0, limit);
}

/**
 * Calls `take` with each pointer of a history and what is at its place, until `take` returns false. Lost pointers are
 * included.
 */
export async function walkPointers(
  context: MongoContext,
  incarnation: Binary,
  range: { readonly direction: "up" | "down"; readonly after?: Place | undefined; readonly page: number },
  take: (pointer: Pointer, found: Found) => boolean,
): Promise<void> {
  let after = range.after;
  for (;;) {
    const pointers = await findPointers(context, incarnation, { direction: range.direction, after, limit: range.page });
    const found = await locate(context, pointers);
    for (const [index, pointer] of pointers.entries()) {
      if (!take(pointer, found[index] as Found)) {
        return;
      }
    }
    after = pointers.at(-1);
    if (pointers.length < range.page || after === undefined) {
      return;
    }
  }
}

/** A pointer that was found by its message's id. */
export type KeyedPointer = Pointer & { readonly at: Timestamp; readonly parent: PointerParent };

export type PointerParent = Pick<ConversationRecord, "_id" | "incarnation" | "messageCount">;

/** Pointers to the messages of one id in all conversations that can be found, before a time, the newest first. */
export async function findPointersByKey(
  context: MongoContext,
  key: Binary,
  before: Timestamp | undefined,
  limit: number,
): Promise<readonly KeyedPointer[]> {
  const { messages, tasks } = context.collections;
  const stages = (fields: Fields, more: Document = {}) => [
    { $match: { [fields.key]: key, ...(before !== undefined && { [fields.at]: { $lt: before } }) } },
    { $sort: { [fields.at]: -1 } },
    ...joinParent(context),
    { $limit: limit },
    {
      $set: {
        parent: { _id: "$parent._id", incarnation: "$parent.incarnation", messageCount: "$parent.messageCount" },
      },
    },
    ...(Object.keys(more).length > 0 ? [{ $project: more }] : []),
  ];
  type Joined<T> = T & { readonly parent: PointerParent };
  const inner = async (field: InnerField) => {
    const projection = { ...innerProjection(field), at: 1, parent: 1 };
    const found = await tasks.aggregate<Joined<TaskRecord>>(stages(innerFields[field], projection)).toArray();
    return found.map((record) => ({
      ...innerPointerOf(record, field),
      at: field === "last" ? (record.last?.at ?? record.at) : record.at,
      parent: record.parent,
    }));
  };
  const [own, first, last] = await allOf([
    messages.aggregate<Joined<MessageRecord>>(stages(ownFields)).toArray(),
    inner("first"),
    inner("last"),
  ]);
  const pointers = [
    ...own.map((record) => ({ ...ownPointer(record), at: record.at, parent: record.parent })),
    ...first,
    ...last,
  ];
  return pointers.sort((a, b) => b.at.compare(a.at)).slice(0, limit);
}

/** Removes pointers from their histories. */
export async function deletePointers(context: MongoContext, pointers: readonly Pointer[]): Promise<void> {
  const own = pointers.filter(({ field }) => field === undefined).map(({ _id }) => _id);
  const inner = async (of: InnerField) => {
    // With the log: the task's id may be in use again.
    const tasks = pointers.filter(({ field }) => field === of).map(({ _id, log }) => ({ _id, log: log as Binary }));
    if (tasks.length > 0) {
      await context.collections.tasks.updateMany({ $or: tasks }, { $unset: { [of]: "" } });
    }
  };
  await allOf([
    own.length === 0 ? Promise.resolve() : context.collections.messages.deleteMany({ _id: { $in: own } }),
    inner("first"),
    inner("last"),
  ]);
}

function innerProjection(field: InnerField) {
  return { [field]: 1, contextId: 1, taskId: 1, log: 1 };
}

function ownPointer(record: MessageRecord): Pointer {
  const { _id, messageId, contextId, time, taskId, sequence, task, log, batch, bytes, verified } = record;
  return { _id, messageId, contextId, time, taskId, sequence, task, log, batch, bytes, verified };
}

function innerPointerOf(
  record: Pick<TaskRecord, "_id" | InnerField | "contextId" | "taskId" | "log">,
  field: InnerField,
): Pointer {
  const { _id, contextId, taskId, log } = record;
  const { messageId = "", time = 0, sequence = 0 } = record[field] ?? {};
  return { _id, field, messageId, contextId, time, taskId, sequence, task: _id, log };
}

/** Ranges that are each contiguous in the index, so no record is read that isn't returned. */
function beyond({ time, sequence }: Fields, direction: "up" | "down", after: Place | undefined): Document {
  if (after === undefined) {
    // Tasks without such a message are not in these ranges.
    return { [time]: { $gte: timeMin } };
  }
  const compare = direction === "up" ? "$gt" : "$lt";
  const lowest = direction === "up" ? {} : { $gte: timeMin };
  return {
    $or: [
      { [time]: { [compare]: after.time, ...lowest } },
      { [time]: after.time, taskId: { [compare]: after.taskId } },
      { [time]: after.time, taskId: after.taskId, [sequence]: { [compare]: after.sequence } },
    ],
  };
}

function comparePlaces(a: Place, b: Place): number {
  return a.time - b.time || compareIds(a.taskId, b.taskId) || a.sequence - b.sequence;
}
