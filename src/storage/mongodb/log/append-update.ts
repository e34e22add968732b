import type { Binary, Document, Filter, UpdateFilter } from "mongodb";
import type { TaskAppend } from "../../storage.ts";
import { expiryOf, type MongoContext, pinMsOf, ttlOf } from "../context.ts";
import { pinnedUntil } from "../conversations/conversations.ts";
import { longOf } from "../keys.ts";
import { tailBytesMax } from "../limits.ts";
import type { Inline, InnerPointer, LogItem, TaskRecord } from "../records.ts";
import type { TaskHint } from "../replicas/hints.ts";
import { isRunning } from "../states.ts";
import { itemBytes, sizeOf } from "./entries.ts";

/** The parts of an append's update. */
export interface AppendParts {
  readonly item: LogItem;
  readonly summary: Inline | undefined;
  /** The tail was moved to a segment. The item becomes the whole tail. */
  readonly moved: boolean;
  /** A record beside the task's was written with the expiry of a running task. */
  readonly longLived: boolean;
  /** The new expiry of the task's record. Empty: as before. */
  readonly expiry: { readonly expireAt?: Date };
  /** The pointer that the update puts into the record. */
  readonly last: InnerPointer | undefined;
}

/** The condition of an append. It includes the room in the tail, because the hint may be out of date. */
export function appendFilter(
  task: Binary,
  hint: TaskHint,
  { after }: TaskAppend,
  { item, moved, last }: AppendParts,
): Filter<TaskRecord> {
  return {
    _id: task,
    log: hint.log,
    head: Number(after.head),
    batch: after.batch,
    fence: longOf(after.fence),
    ...(!moved && { tailBytes: { $lte: tailBytesMax - itemBytes(item) } }),
    ...(last !== undefined && { "last.time": { $exists: false } }),
  };
}

export function appendUpdate(
  { after, batch, header, handled }: TaskAppend,
  { item, moved, summary, longLived, expiry, last }: AppendParts,
): UpdateFilter<TaskRecord> {
  const head = Number(after.head) + batch.entries.length;
  const size = itemBytes(item);
  return {
    $set: {
      head,
      batch: batch.id,
      ...headerFields(header),
      ...(summary !== undefined && { summary }),
      ...(moved && { tail: [item], tailFirst: item.s, tailBytes: size }),
      ...(longLived && { longLived: true }),
      ...expiry,
      ...Object.fromEntries(Object.entries(last ?? {}).map(([name, value]) => [`last.${name}`, value])),
    },
    ...(last !== undefined && { $currentDate: { "last.at": { $type: "timestamp" } } }),
    ...(!hasRunner(header) && { $unset: { runner: "" } }),
    $inc: { logBytes: sizeOf(batch.entries), ...(!moved && { tailBytes: size }) },
    ...(!moved && { $push: { tail: item } }),
    ...(handled.length > 0 && { $pull: { commands: { id: { $in: [...handled] } } } }),
  } as Document as UpdateFilter<TaskRecord>;
}

/**
 * The fields of the record that contain the header. MongoDB doesn't update an index for a field that is set to the same
 * value.
 */
export function headerFields(header: TaskAppend["header"]): Document {
  const { fence, state, statusTimeMs, replica } = header;
  return {
    fence: longOf(fence),
    state,
    statusTime: statusTimeMs,
    replica,
    ...(hasRunner(header) && { runner: replica }),
  };
}

function hasRunner({ state, pending = false }: TaskAppend["header"]): boolean {
  return pending || isRunning(state);
}

/**
 * The new expiry of the task's record, if it changes. While the task runs it is far in the future, and is renewed when
 * half of that time is over. It is lowered when the task stops running.
 */
export function expiryChange(
  context: MongoContext,
  { state, expireAt }: TaskHint,
  header: TaskAppend["header"],
): { readonly expireAt?: Date } {
  if (!isRunning(header.state)) {
    return expiryOf(context, { running: false, until: pinnedUntil(context, header) });
  }
  const enoughMs = context.clock.nowMs + pinMsOf(context) / 2 + (ttlOf(context) ?? 0);
  return isRunning(state) && expireAt !== undefined && expireAt.getTime() > enoughMs
    ? {}
    : expiryOf(context, { running: true });
}
