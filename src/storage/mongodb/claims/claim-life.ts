import type { Binary } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import { type MongoContext, ttlOf } from "../context.ts";
import { liveExpression } from "../conversations/conversation-pipelines.ts";
import { allOf } from "../errors.ts";
import { nameOf, sameKey, taskKey } from "../keys.ts";
import type { ClaimEntry, TaskRecord } from "../records.ts";

/** How long the creation of a task may take after its claim. */
const makingMs = 60_000;

/**
 * Returns the claims that are still held. All given claims are within their windows at `now`, the database's time. A
 * claim also ends with the conversation or the task that it led to:
 * - A claim with an answer names the incarnation, and is held while the conversation has that incarnation.
 * - A claim of a task names only the conversation's id, because both are created together. It is held while its task
 *   can be found, while the task may still be being created, and while the conversation is one that was created
 *   at most a minute after the claim.
 * - A claim is not held while its task is being removed. The task's record, which can't be found any more, or the note
 *   of its removal then contains the claim's token.
 */
export async function liveClaims(
  context: MongoContext,
  scope: Scope,
  entries: readonly ClaimEntry[],
  now: Date,
): Promise<readonly ClaimEntry[]> {
  const led = entries.filter(({ conversation }) => conversation !== undefined);
  if (led.length === 0) {
    return entries;
  }
  const ids = led.flatMap(({ conversation }) => conversation ?? []);
  const keys = led
    .filter(({ incarnation }) => incarnation === undefined)
    .map(({ task }) => taskKey({ ...scope, taskId: task }));
  const [found, made, removed] = await allOf([
    context.collections.conversations
      .find(
        { _id: { $in: ids }, $expr: liveExpression(ttlOf(context)) },
        { projection: { incarnation: 1, createdAt: 1 } },
      )
      .toArray(),
    keys.length === 0 ? Promise.resolve([]) : findMade(context, keys),
    keys.length === 0
      ? Promise.resolve([])
      : context.collections.removals.find({ of: { $in: keys } }, { projection: { claim: 1 } }).toArray(),
  ]);
  const parents = new Map(found.map((parent) => [nameOf(parent._id), parent]));
  const tasks = new Map(made.map((task) => [nameOf(task._id), task]));
  const ended = new Set(
    [...made.filter(({ live }) => !live), ...removed].flatMap(({ claim }) =>
      claim === undefined ? [] : nameOf(claim.token),
    ),
  );
  return entries.filter(({ conversation, incarnation, task, at, token }) => {
    if (conversation === undefined) {
      return true;
    }
    const parent = parents.get(nameOf(conversation));
    if (incarnation !== undefined) {
      return sameKey(parent?.incarnation, incarnation);
    }
    if (tasks.get(nameOf(taskKey({ ...scope, taskId: task })))?.live === true) {
      return true;
    }
    if (ended.has(nameOf(token))) {
      return false;
    }
    return (
      now.getTime() - at.getTime() < makingMs ||
      (parent !== undefined && parent.createdAt.getTime() <= at.getTime() + makingMs)
    );
  });
}

/** The records of the tasks that exist, and whether each can be found. */
function findMade(
  context: MongoContext,
  keys: readonly Binary[],
): Promise<(Pick<TaskRecord, "_id" | "claim"> & { readonly live: boolean })[]> {
  const { conversations, tasks } = context.collections;
  const isParent = {
    $and: [{ $eq: ["$$parent.incarnation", "$incarnation"] }, liveExpression(ttlOf(context), "$$parent.")],
  };
  const live = { $anyElementTrue: [{ $map: { input: "$parent", as: "parent", in: isParent } }] };
  return tasks
    .aggregate<Pick<TaskRecord, "_id" | "claim"> & { readonly live: boolean }>([
      { $match: { _id: { $in: [...keys] } } },
      { $project: { conversation: 1, incarnation: 1, claim: 1 } },
      {
        $lookup: { from: conversations.collectionName, localField: "conversation", foreignField: "_id", as: "parent" },
      },
      { $project: { claim: 1, live } },
    ])
    .toArray();
}
