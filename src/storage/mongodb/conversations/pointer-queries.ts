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
const ownFields = { time: "time", sequence: "sequence", key: "key" } as const;
const firstFields = { time: "first.time", sequence: "first.sequence", key: "first.key" } as const;
type Fields = typeof ownFields | typeof firstFields;

/**
 * The next pointers of a history from a place on, in its order ("up") or in reverse ("down"). At most `limit`, from
 * both collections.
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
  const [own, first] = await allOf([
    messages.find(filter(ownFields)).sort(sort(ownFields)).limit(limit).toArray(),
    tasks.find(filter(firstFields), { projection: firstProjection }).sort(sort(firstFields)).limit(limit).toArray(),
  ]);
  const pointers = [...own.map(ownPointer), ...first.map(firstPointer)];
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
  const until = before === undefined ? {} : { at: { $lt: before } };
  const stages = (fields: Fields, more: Document = {}) => [
    { $match: { [fields.key]: key, ...until } },
    { $sort: { at: -1 } },
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
  const [own, first] = await allOf([
    messages.aggregate<Joined<MessageRecord>>(stages(ownFields)).toArray(),
    tasks.aggregate<Joined<TaskRecord>>(stages(firstFields, { ...firstProjection, at: 1, parent: 1 })).toArray(),
  ]);
  const pointers = [
    ...own.map((record) => ({ ...ownPointer(record), at: record.at, parent: record.parent })),
    ...first.map((record) => ({ ...firstPointer(record), at: record.at, parent: record.parent })),
  ];
  return pointers.sort((a, b) => b.at.compare(a.at)).slice(0, limit);
}

/** Removes pointers from their histories. */
export async function deletePointers(context: MongoContext, pointers: readonly Pointer[]): Promise<void> {
  const own = pointers.filter(({ isFirst }) => !isFirst).map(({ _id }) => _id);
  // With the log: the task's id may be in use again.
  const first = pointers.filter(({ isFirst }) => isFirst).map(({ _id, log }) => ({ _id, log: log as Binary }));
  await allOf([
    own.length === 0 ? Promise.resolve() : context.collections.messages.deleteMany({ _id: { $in: own } }),
    first.length === 0
      ? Promise.resolve()
      : context.collections.tasks.updateMany({ $or: first }, { $unset: { first: "" } }),
  ]);
}

const firstProjection = { first: 1, contextId: 1, taskId: 1, log: 1 } as const;

function ownPointer(record: MessageRecord): Pointer {
  const { _id, messageId, contextId, time, taskId, sequence, task, log, batch, bytes, verified } = record;
  return { _id, isFirst: false, messageId, contextId, time, taskId, sequence, task, log, batch, bytes, verified };
}

function firstPointer({
  _id,
  first,
  contextId,
  taskId,
  log,
}: Pick<TaskRecord, "_id" | "first" | "contextId" | "taskId" | "log">): Pointer {
  const { messageId = "", time = 0, sequence = 0 } = first ?? {};
  return { _id, isFirst: true, messageId, contextId, time, taskId, sequence, task: _id, log };
}

/** Ranges that are each contiguous in the index, so no record is read that isn't returned. */
function beyond({ time, sequence }: Fields, direction: "up" | "down", after: Place | undefined): Document {
  if (after === undefined) {
    // Tasks without a first message are not in these ranges.
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
