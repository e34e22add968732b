import type { Binary, Document } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { MessageClaim } from "../../storage.ts";
import type { ClaimOutcome, HeldClaim } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import type { MongoContext, Parent } from "../context.ts";
import { allOf, isDuplicateKey } from "../errors.ts";
import { messageKey, newId, sameKey } from "../keys.ts";
import { attemptsMax, claimsPerMessageMax } from "../limits.ts";
import { readInline, removeBlobsLater } from "../log/blobs.ts";
import type { ClaimEntry, ClaimPointer, ClaimRecord, MessageRecord } from "../records.ts";
import { liveClaims } from "./claim-life.ts";
import { insertOrReplace, markStored, putAnswer, storeUnstored, unstoredOf } from "./unstored-messages.ts";

/**
 * Claims. All contents under one message id are in one record, so one update decides among them. Times are the
 * database's. Whether the conversation of a claim still exists is only looked up when the claim is in the way of
 * another.
 */

/**
 * `ClaimOutcome` plus, if accepted, the token that undoes the acceptance and a pointer to the entry that holds the
 * claim. If the task held the claim before, that is the entry of the earlier acceptance.
 */
export type ClaimAttempt =
  | (Extract<ClaimOutcome, { outcome: "accepted" }> & { readonly token: Binary; readonly held: ClaimPointer })
  | Exclude<ClaimOutcome, { outcome: "accepted" }>;

/** Accepts the first claim of a content. A repeat returns what the first one named. */
export async function claimMessage(context: MongoContext, scope: Scope, claim: MessageClaim): Promise<ClaimOutcome> {
  const attempt = await take(context, scope, claim, undefined, () => false);
  return attempt.outcome === "accepted" ? { outcome: "accepted", otherContent: attempt.otherContent } : attempt;
}

/** Takes the claim of a task that is being created. The task may hold it already. */
export function claimForTask(
  context: MongoContext,
  scope: Scope,
  claim: MessageClaim,
  conversation: Binary,
): Promise<ClaimAttempt> {
  return take(context, scope, claim, conversation, ({ task }) => task === claim.taskId);
}

async function take(
  context: MongoContext,
  scope: Scope,
  claim: MessageClaim,
  conversation: Binary | undefined,
  isOwn: (entry: ClaimEntry) => boolean,
): Promise<ClaimAttempt> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    const token = newId();
    const { _id, entries, now } = await update(context, scope, takeStages(claim, token, conversation), claim);
    const same = entries.find(({ hash }) => hash === claim.contentHash);
    const others = entries.filter(({ hash }) => hash !== claim.contentHash);
    const taken = same !== undefined && sameKey(same.token, token);
    if (taken || (same !== undefined && isOwn(same))) {
      const otherContent = others.length > 0 && (await liveClaims(context, scope, others, now)).length > 0;
      return { outcome: "accepted", otherContent, token, held: { key: _id, token: same.token } };
    }
    // If `same` is undefined, the claim is strict and other contents are held.
    const rivals = same === undefined ? others : [same];
    const live = await liveClaims(context, scope, rivals, now);
    const [held] = live;
    if (held !== undefined) {
      return same === undefined
        ? { outcome: "reused" }
        : { outcome: "duplicate", ...(await duplicateOf(context, _id, held)) };
    }
    const dead = rivals.map((entry) => entry.token);
    await context.collections.claims.updateOne({ _id }, { $pull: { entries: { token: { $in: dead } } } });
  }
  throw new StorageError("unavailable", `Message "${claim.messageId}" is claimed and given up too often at once`, {
    outcome: "unknown",
  });
}

/**
 * Stores the answer of a claim and the messages that follow from it, and takes the claim first if it is not held. This
 * update decides: the messages are stored only after it, by this call or by the next one that meets the claim. So a
 * process that ends before it leaves no message, and one that ends after it leaves none that a repeat doesn't get.
 *
 * The first answer in a conversation counts. A claim that another task holds, because this one's window is over, is
 * left alone, and the messages are stored without it.
 */
export async function settleClaim(
  context: MongoContext,
  scope: Scope,
  claim: MessageClaim,
  parent: Parent,
  { answer: bytes, messages }: { readonly answer: Uint8Array; readonly messages: readonly MessageRecord[] },
): Promise<void> {
  const [answer, unstored] = await allOf([
    putAnswer(context, parent, claim, bytes),
    unstoredOf(context, parent, claim, messages),
  ]);
  const settled = { conversation: parent.conversation, incarnation: parent.incarnation, answer, unstored };
  const isAnswered = {
    $and: [{ $ne: [{ $type: "$$this.answer" }, "missing"] }, { $eq: ["$$this.incarnation", parent.incarnation] }],
  };
  const stages = [
    ...takeStages({ ...claim, strict: false }, newId(), undefined),
    { $set: { entries: merged(claim.contentHash, claim.taskId, settled, isAnswered) } },
  ];
  const { _id, entries } = await update(context, scope, stages, claim);
  const held = entries.find(({ hash, task }) => hash === claim.contentHash && task === claim.taskId);
  if (held === undefined || sameKey(held.unstored?.id, unstored.id)) {
    await insertOrReplace(context, messages);
    markStored(context, _id, unstored);
  } else {
    removeBlobsLater(context, [answer, ...unstored.records]);
    await storeUnstored(context, _id, held);
  }
}

/** Gives up a claim that was taken for a task that was not created. */
export async function releaseClaim(
  context: MongoContext,
  scope: Scope,
  { messageId }: MessageClaim,
  token: Binary,
): Promise<void> {
  await context.collections.claims.updateOne({ _id: messageKey(scope, messageId) }, { $pull: { entries: { token } } });
}

/** Takes a content unless it is held; if strict, unless any content is held. Drops claims whose window is over. */
function takeStages(
  { contentHash, taskId, windowMs, strict = false }: MessageClaim,
  token: Binary,
  conversation: Binary | undefined,
): Document[] {
  const same = { $filter: { input: "$entries", cond: { $eq: ["$$this.hash", literal(contentHash)] } } };
  const inTheWay = strict ? "$entries" : same;
  const mine = {
    hash: literal(contentHash),
    task: literal(taskId),
    at: "$$NOW",
    ends: { $add: ["$$NOW", Math.ceil(Math.min(windowMs, 8e14))] },
    token,
    ...(conversation !== undefined && { conversation }),
  };
  return [
    {
      $set: { entries: { $filter: { input: { $ifNull: ["$entries", []] }, cond: { $gt: ["$$this.ends", "$$NOW"] } } } },
    },
    {
      $set: {
        entries: {
          $cond: [
            { $gt: [{ $size: inTheWay }, 0] },
            "$entries",
            { $concatArrays: [{ $slice: ["$entries", 1 - claimsPerMessageMax] }, [mine]] },
          ],
        },
      },
    },
    ...(conversation === undefined ? [] : [{ $set: { entries: merged(contentHash, taskId, { conversation }) } }]),
    { $set: { expireAt: { $ifNull: [{ $max: "$entries.ends" }, "$$NOW"] } } },
  ];
}

/** The entries, with more fields in the entry of a content if the given task holds it and `unless` is false. */
function merged(contentHash: string, taskId: string, fields: Document, unless: unknown = false): Document {
  const isMine = {
    $and: [
      { $eq: ["$$this.hash", literal(contentHash)] },
      { $eq: ["$$this.task", literal(taskId)] },
      { $not: [unless] },
    ],
  };
  return {
    $map: { input: "$entries", in: { $cond: [isMine, { $mergeObjects: ["$$this", literal(fields)] }, "$$this"] } },
  };
}

async function update(
  context: MongoContext,
  scope: Scope,
  stages: Document[],
  { messageId }: MessageClaim,
): Promise<ClaimRecord & { readonly now: Date }> {
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    try {
      const found = await context.collections.claims.findOneAndUpdate({ _id: messageKey(scope, messageId) }, stages, {
        upsert: true,
        returnDocument: "after",
        projection: { entries: 1, expireAt: 1, now: "$$NOW" },
      });
      if (found !== null) {
        return found as ClaimRecord & { readonly now: Date };
      }
    } catch (error) {
      // Two calls that create the same record at once: the second one finds it on its next try.
      if (!isDuplicateKey(error)) {
        throw error;
      }
    }
  }
  throw new StorageError("unavailable", `Message "${messageId}" is claimed too often at once`, { outcome: "unknown" });
}

/** The first answer of a claim is given only after its messages are stored. */
async function duplicateOf(context: MongoContext, key: Binary, entry: ClaimEntry): Promise<HeldClaim> {
  const { task, answer } = entry;
  await storeUnstored(context, key, entry);
  const [bytes] = answer === undefined ? [] : await readInline(context, [answer]);
  return { taskId: task, answer: bytes };
}

function literal(value: unknown): Document {
  return { $literal: value };
}
