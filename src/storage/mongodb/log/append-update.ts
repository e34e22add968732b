import type { Binary, Document, Filter, UpdateFilter } from "mongodb";
import type { TaskAppend } from "../../storage.ts";
import { databaseNowMs, expiryOf, type MongoContext, pinMsOf, ttlOf } from "../context.ts";
import { pinnedUntil } from "../conversations/conversations.ts";
import { longOf } from "../keys.ts";
import { tailBytesMax } from "../limits.ts";
import type { Inline, LogItem, TaskRecord } from "../records.ts";
import type { TaskHint } from "../replicas/hints.ts";
import { isRunning } from "../states.ts";
import { itemBytes, sizeOf } from "./entries.ts";

/** What the one update of an append is made of. */
export interface AppendParts {
  readonly item: LogItem;
  readonly summary: Inline | undefined;
  /** The tail is in a segment: the item becomes the whole tail. */
  readonly moved: boolean;
  /** Something beside the record was written that stays as long as a running task's. */
  readonly longLived: boolean;
  /** The record's own time, if it needs another. */
  readonly expiry: { readonly expireAt?: Date };
}

/** The condition of an append. That there is room in the tail is part of it, since the hint that says so may be old. */
export function appendFilter(
  task: Binary,
  hint: TaskHint,
  { after }: TaskAppend,
  { item, moved }: AppendParts,
): Filter<TaskRecord> {
  return {
    _id: task,
    log: hint.log,
    head: Number(after.head),
    batch: after.batch,
    fence: longOf(after.fence),
    ...(!moved && { tailBytes: { $lte: tailBytesMax - itemBytes(item) } }),
  };
}

export function appendUpdate(
  { after, batch, header, handled: answered }: TaskAppend,
  { item, moved, summary, longLived, expiry }: AppendParts,
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
    },
    ...(!hasRunner(header) && { $unset: { runner: "" } }),
    $inc: { logBytes: sizeOf(batch.entries), ...(!moved && { tailBytes: size }) },
    ...(!moved && { $push: { tail: item } }),
    ...(answered.length > 0 && { $pull: { requests: { id: { $in: [...answered] } } } }),
  } as Document as UpdateFilter<TaskRecord>;
}

/** What a header says, as the fields of the record. Setting a field to what it is already costs no index anything. */
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
 * The record's own time, if it needs another: far ahead while the task runs, moved only now and then; near when it
 * doesn't any more.
 */
export function expiryChange(
  context: MongoContext,
  { state, expireAt }: TaskHint,
  header: TaskAppend["header"],
): { readonly expireAt?: Date } {
  if (!isRunning(header.state)) {
    return expiryOf(context, { running: false, until: pinnedUntil(context, header) });
  }
  const enoughMs = databaseNowMs(context) + pinMsOf(context) / 2 + (ttlOf(context) ?? 0);
  return isRunning(state) && expireAt !== undefined && expireAt.getTime() > enoughMs
    ? {}
    : expiryOf(context, { running: true });
}
