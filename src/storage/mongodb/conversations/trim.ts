import type { MongoContext } from "../context.ts";
import { nameOf } from "../keys.ts";
import { jobStepRecords } from "../limits.ts";
import type { ConversationRecord } from "../records.ts";
import type { Pointer } from "./history.ts";
import { deletePointers, findPointers, type Place, walkPointers } from "./pointer-queries.ts";

/**
 * Takes the oldest messages out of a history that is too long, off the request path. Whoever reads histories waits for
 * that (`trimmed`), or looks at the newest alone. Pointers to what isn't in the log don't count, so they are looked up,
 * once each.
 */
export function trimIfLong(
  context: MongoContext,
  conversation: Pick<ConversationRecord, "_id" | "incarnation" | "said">,
): void {
  if (conversation.said > context.maxHistoryLength) {
    context.jobs.run(trimName(conversation), () => trim(context, conversation));
  }
}

/**
 * Resolves when the history is as short as it should be, whoever made it too long, and whether or not he lives to trim
 * it.
 */
export function trimmed(
  context: MongoContext,
  conversation: Pick<ConversationRecord, "_id" | "incarnation" | "said">,
): Promise<void> {
  trimIfLong(context, conversation);
  return context.jobs.settled(trimName(conversation));
}

function trimName({ _id }: Pick<ConversationRecord, "_id">): string {
  return `trim ${nameOf(_id)}`;
}

async function trim(
  context: MongoContext,
  { _id, incarnation }: Pick<ConversationRecord, "_id" | "incarnation">,
): Promise<void> {
  const { conversations, messages } = context.collections;
  // Read before the pointers: if it is the same afterwards, none was added meanwhile.
  const conversation = await conversations.findOne({ _id, incarnation }, { projection: { said: 1 } });
  if (conversation === null || conversation.said <= context.maxHistoryLength) {
    return;
  }
  let kept = 0;
  let oldestKept: Place | undefined;
  const seen: Pointer[] = [];
  const lost: Pointer[] = [];
  await walkPointers(
    context,
    incarnation,
    { direction: "down", page: Math.min(context.maxHistoryLength + 1, jobStepRecords) },
    (pointer, { at }) => {
      if (at === "lost") {
        lost.push(pointer);
      } else if (at !== "open") {
        kept += 1;
        oldestKept = pointer;
        seen.push(pointer);
      }
      return kept < context.maxHistoryLength;
    },
  );
  await deletePointers(context, lost);
  await messages.updateMany(
    {
      _id: { $in: seen.filter(({ isFirst, verified }) => !isFirst && verified !== true).map((pointer) => pointer._id) },
    },
    { $set: { verified: true } },
  );
  while (kept >= context.maxHistoryLength && oldestKept !== undefined) {
    const old = await findPointers(context, incarnation, {
      direction: "down",
      after: oldestKept,
      limit: jobStepRecords,
    });
    await deletePointers(context, old);
    if (old.length < jobStepRecords) {
      break;
    }
  }
  await conversations.updateOne({ _id, incarnation, said: conversation.said }, { $set: { said: kept } });
}
