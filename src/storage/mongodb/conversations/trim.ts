import type { MongoContext } from "../context.ts";
import { nameOf } from "../keys.ts";
import { jobStepRecords } from "../limits.ts";
import type { ConversationRecord } from "../records.ts";
import type { Pointer } from "./history.ts";
import { deletePointers, findPointers, type Place, walkPointers } from "./pointer-queries.ts";

/**
 * Removes the oldest messages of a history that is too long, off the request path. Readers of whole histories wait for
 * that (`trimmed`); others read only the newest messages. A pointer whose batch isn't in the log doesn't count, so each
 * pointer is looked up once and then marked as verified.
 */
export function trimIfLong(
  context: MongoContext,
  conversation: Pick<ConversationRecord, "_id" | "incarnation" | "messageCount">,
): void {
  if (conversation.messageCount > context.maxHistoryLength) {
    context.jobs.run(trimName(conversation), () => trim(context, conversation));
  }
}

/**
 * Resolves when the history is within its limit, even if another process made it too long and ended before
 * trimming it.
 */
export function trimmed(
  context: MongoContext,
  conversation: Pick<ConversationRecord, "_id" | "incarnation" | "messageCount">,
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
  // Read before the pointers: if the count is the same afterwards, no pointer was added meanwhile.
  const conversation = await conversations.findOne({ _id, incarnation }, { projection: { messageCount: 1 } });
  if (conversation === null || conversation.messageCount <= context.maxHistoryLength) {
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
      _id: {
        $in: seen
          .filter(({ field, verified }) => field === undefined && verified !== true)
          .map((pointer) => pointer._id),
      },
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
  await conversations.updateOne(
    { _id, incarnation, messageCount: conversation.messageCount },
    { $set: { messageCount: kept } },
  );
}
