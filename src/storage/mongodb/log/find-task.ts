import type { Binary, Document } from "mongodb";
import type { MongoContext } from "../context.ts";
import { joinParent } from "../conversations/conversations.ts";
import type { ConversationRecord, TaskRecord } from "../records.ts";

/** A task's record with its conversation. Without the tail, unless it was requested. */
export type FoundTask = TaskRecord & { readonly parent: Pick<ConversationRecord, "_id" | "pins" | "covered"> };

/** Which part of the tail to read: the batches that end after a sequence. Default: none. */
export interface FindOptions {
  readonly tailAfter?: number;
}

/** Finds a task. Its conversation must exist and not be past its time. */
export async function findTask(
  context: MongoContext,
  _id: Binary,
  options: FindOptions = {},
): Promise<FoundTask | undefined> {
  const stages = [{ $match: { _id } }, tailStage(options), ...joinParent(context), parentStage];
  const [task] = await context.collections.tasks.aggregate<FoundTask>(stages).toArray();
  return task;
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
