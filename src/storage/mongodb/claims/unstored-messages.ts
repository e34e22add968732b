import { Binary, BSON } from "mongodb";
import type { MessageClaim } from "../../storage.ts";
import { belongingOf, expiryOf, type MongoContext, type Parent } from "../context.ts";
import { isOnlyDuplicates } from "../conversations/pointers.ts";
import { allOf } from "../errors.ts";
import { blobKey, nameOf, newId } from "../keys.ts";
import { answerInlineBytesMax } from "../limits.ts";
import { readInline, removeBlobsLater } from "../log/blobs.ts";
import type { ClaimEntry, Inline, MessageRecord, UnstoredMessages } from "../records.ts";

/** Messages that follow from a settled claim. The claim's record holds them until they are stored. */

/** Bytes for use in a claim. Large ones are in a blob that outlives the claim. */
export async function putAnswer(
  context: MongoContext,
  { incarnation }: Parent,
  { windowMs }: MessageClaim,
  bytes: Uint8Array,
): Promise<Inline> {
  const d = new Binary(bytes);
  if (bytes.byteLength <= answerInlineBytesMax) {
    return d;
  }
  const blob = blobKey(newId());
  await context.collections.snapshots.insertOne({
    _id: blob,
    incarnation,
    d,
    expireAt: new Date(context.clock.nowMs + 2 * Math.min(windowMs, 8e14) + 60_000),
  });
  return { blob };
}

export async function unstoredOf(
  context: MongoContext,
  parent: Parent,
  claim: MessageClaim,
  messages: readonly MessageRecord[],
): Promise<UnstoredMessages> {
  const records = messages.map((message) => putAnswer(context, parent, claim, BSON.serialize(message)));
  return { id: newId(), records: await allOf(records) };
}

/** Stores what a claim still holds. A message that exists was stored by the call that settled the claim. */
export async function storeUnstored(
  context: MongoContext,
  key: Binary,
  { unstored, conversation, incarnation }: ClaimEntry,
): Promise<void> {
  if (unstored === undefined || conversation === undefined || incarnation === undefined) {
    return;
  }
  const { conversations, messages } = context.collections;
  const [bytes, parent] = await allOf([
    readInline(context, unstored.records),
    conversations.findOne({ _id: conversation, incarnation }, { projection: { covered: 1 } }),
  ]);
  // The conversation may have been accessed since, so the messages have to stay as long as what is stored already.
  const expiry = expiryOf(context, { running: false, covered: parent?.covered });
  const records = bytes
    .filter((one) => one !== undefined)
    .map((one) => BSON.deserialize(one, { promoteBuffers: false }) as MessageRecord)
    .map((record) => ({ ...record, ...belongingOf(record.incarnation, expiry) }));
  try {
    await messages.insertMany(records, { ordered: false });
  } catch (error) {
    if (!isOnlyDuplicates(error)) {
      throw error;
    }
  }
  markStored(context, key, unstored);
}

/** Notes, off the request path, that the messages are stored: one that is deleted then must not come back. */
export function markStored(context: MongoContext, key: Binary, { id, records }: UnstoredMessages): void {
  context.jobs.run(`stored ${nameOf(id)}`, async () => {
    const filter = { _id: key, "entries.unstored.id": id };
    await context.collections.claims.updateOne(filter, { $unset: { "entries.$.unstored": "" } });
    removeBlobsLater(context, records);
  });
}

/** A message that is stored again, after an unknown outcome, replaces its own record. */
export async function insertOrReplace(context: MongoContext, records: readonly MessageRecord[]): Promise<void> {
  const { messages } = context.collections;
  try {
    await messages.insertMany(records, { ordered: false });
  } catch (error) {
    if (!isOnlyDuplicates(error)) {
      throw error;
    }
    for (const { index } of error.result.getWriteErrors()) {
      const { _id, ...replacement } = records[index] as MessageRecord;
      await messages.replaceOne({ _id }, replacement, { upsert: true });
    }
  }
}
