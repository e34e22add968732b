import type { Scope } from "../../domain/scope.ts";
import { databaseNowMs, type MongoContext, ttlOf } from "./mongodb-context.ts";
import { liveExpression } from "./mongodb-conversation-pipelines.ts";
import { joinHome } from "./mongodb-conversations.ts";
import { allOf } from "./mongodb-errors.ts";
import { nameOf, sameKey, taskKey } from "./mongodb-keys.ts";
import type { ClaimEntry } from "./mongodb-records.ts";

/** How long a task may take to come to be after its claim. */
const makingMs = 60_000;

/**
 * Those of the claims, all within their windows, that are still held: not beyond the conversation that they led to. One settled with an answer
 * names its incarnation. One of a task names the conversation's id alone, since it is made together with it: it is held while its task is
 * there or may still be being made, and while the conversation is that of then.
 */
export async function liveClaims(context: MongoContext, scope: Scope, entries: readonly ClaimEntry[]): Promise<readonly ClaimEntry[]> {
  const led = entries.filter(({ conversation }) => conversation !== undefined);
  if (led.length === 0) {
    return entries;
  }
  const { conversations, tasks } = context.collections;
  const ids = led.flatMap(({ conversation }) => conversation ?? []);
  const keys = led.filter(({ incarnation }) => incarnation === undefined).map(({ task }) => taskKey({ ...scope, taskId: task }));
  const [found, made] = await allOf([
    conversations.find({ _id: { $in: ids }, $expr: liveExpression(ttlOf(context)) }, { projection: { incarnation: 1, born: 1 } }).toArray(),
    keys.length === 0
      ? Promise.resolve([])
      : tasks
          .aggregate([{ $match: { _id: { $in: keys } } }, { $project: { conversation: 1, incarnation: 1 } }, ...joinHome(context), { $project: { _id: 1 } }])
          .toArray(),
  ]);
  const homes = new Map(found.map((home) => [nameOf(home._id), home]));
  const madeKeys = new Set(made.map(({ _id }) => nameOf(_id)));
  return entries.filter(({ conversation, incarnation, task, at }) => {
    if (conversation === undefined) {
      return true;
    }
    const home = homes.get(nameOf(conversation));
    if (incarnation !== undefined) {
      return sameKey(home?.incarnation, incarnation);
    }
    if (madeKeys.has(nameOf(taskKey({ ...scope, taskId: task }))) || databaseNowMs(context) - at.getTime() < makingMs) {
      return true;
    }
    return home !== undefined && home.born.getTime() <= at.getTime() + makingMs;
  });
}
