import type { Binary, Document } from "mongodb";
import type { MongoContext } from "../context.ts";
import { joinParent } from "../conversations/conversations.ts";
import type { ConversationRecord, TaskRecord } from "../records.ts";

/** A task's record with its conversation; without its tail, unless that was asked for. */
export type FoundTask = TaskRecord & { readonly parent: Pick<ConversationRecord, "_id" | "pins" | "covered"> };

/** Which part of the tail to read: the batches that end after a sequence; none by default. */
export interface FindOptions {
  readonly tailAfter?: number;
}

/** The task of that key, if it can be found: its conversation is there and not past its time. */
export async function findTask(
  context: MongoContext,
  _id: Binary,
  options: FindOptions = {},
): Promise<FoundTask | undefined> {
  const stages = [{ $match: { _id } }, tailStage(options), ...joinParent(context), parentStage];
  const [task] = await context.collections.tasks.aggregate<FoundTask>(stages).toArray();
  return task;
}

/** Cuts the tail before anything else is done with the record: most readers want little or nothing of it. */
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
