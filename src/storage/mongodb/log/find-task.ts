import type { Binary, Document } from "mongodb";
import type { MongoContext } from "../context.ts";
import { joinParent } from "../conversations/conversations.ts";
import type { ConversationRecord, TaskRecord } from "../records.ts";

/** A task's record with its conversation. Without the tail, unless it was requested. */
export type FoundTask = TaskRecord & { readonly parent: Pick<ConversationRecord, "_id" | "pins" | "covered"> };

export interface FindOptions {
  /** Which part of the tail to read: the batches that end after a sequence. Default: none. */
  readonly tailAfter?: number;
  /** Read the latest state, as `readLatest` does. */
  readonly latest?: boolean;
}

/** Finds a task. Its conversation must exist and not be past its time. */
export async function findTask(
  context: MongoContext,
  _id: Binary,
  options: FindOptions = {},
): Promise<FoundTask | undefined> {
  const stages = [{ $match: { _id } }, tailStage(options), ...joinParent(context), parentStage];
  return (await (options.latest === true ? readLatest : readUnlessMissing)<FoundTask>(context, stages))[0];
}

/**
 * Reads tasks. Nothing is found only if the last acknowledged write left nothing: what is missing while the primary may
 * be behind is read once more. Unknown ids cost no linearizable read otherwise, which would write to the oplog.
 */
export async function readUnlessMissing<T extends Document>(context: MongoContext, stages: Document[]): Promise<T[]> {
  const { collections, primaries } = context;
  const term = primaries.currentTerm;
  const found = await collections.tasks.aggregate<T>(stages).toArray();
  const isLatest = term !== undefined && term === primaries.currentTerm;
  return found.length > 0 || isLatest ? found : readLatest(context, stages);
}

/**
 * Reads tasks as of the last acknowledged write. Needed before a write concludes anything from a record that is missing
 * or behind: `Primaries` makes reads again if the primary changes under them, but not writes. Waits for a majority, so
 * it is for rare cases only.
 */
export function readLatest<T extends Document>(
  context: Pick<MongoContext, "collections" | "latest">,
  stages: Document[],
): Promise<T[]> {
  return context.collections.tasks.aggregate<T>(stages, context.latest).toArray();
}

/** Cuts the tail first, because most readers need little or nothing of it. */
function tailStage({ tailAfter }: FindOptions): Document {
  return tailAfter === undefined
    ? { $unset: "tail" }
    : {
        $set: {
          tail: { $filter: { input: "$tail", cond: { $gt: [{ $add: ["$$this.s", "$$this.n"] }, tailAfter + 1] } } },
        },
      };
}

const parentStage = { $set: { parent: { _id: "$parent._id", pins: "$parent.pins", covered: "$parent.covered" } } };
