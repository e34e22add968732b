import type { Binary, Document, Filter } from "mongodb";
import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskPage, TaskQuery } from "../../storage.ts";
import { type MongoContext, ttlOf } from "../context.ts";
import { liveExpression } from "../conversations/conversation-pipelines.ts";
import { findConversation, joinParent } from "../conversations/conversations.ts";
import { allOf } from "../errors.ts";
import { scopeKey } from "../keys.ts";
import type { TaskRecord } from "../records.ts";
import { storedTasks } from "./task-reads.ts";

/**
 * All states that a header can have, with room for those of later releases. A list of a conversation's tasks reads the
 * range of each.
 */
const states = Array.from({ length: 16 }, (_, state) => state);

/**
 * This index has the tasks of each state in order, and MongoDB merges them. Without the hint it uses another index of
 * the conversation and sorts.
 */
const conversationIndex = { incarnation: 1, state: 1, statusTime: -1, taskId: -1 } as const;

/** A page of headers. Tasks whose conversation can't be found are neither listed nor counted. */
export async function listTasks(context: MongoContext, query: TaskQuery): Promise<TaskPage> {
  const { scope, contextId, limit } = query;
  const conversation = contextId === undefined ? undefined : await findConversation(context, scope, contextId);
  if (contextId !== undefined && conversation === undefined) {
    return { tasks: [], total: 0, more: false };
  }
  const [page, total] = await allOf([
    findPage(context, query, conversation?.incarnation),
    countTasks(context, query, conversation?.incarnation),
  ]);
  const tasks = await storedTasks(context, page.slice(0, limit));
  return { tasks, total, more: page.length > limit };
}

async function findPage(
  context: MongoContext,
  query: TaskQuery,
  incarnation: Binary | undefined,
): Promise<readonly TaskRecord[]> {
  const { tasks } = context.collections;
  const stages = [
    { $match: pageFilter(query, incarnation) },
    { $sort: { statusTime: -1, taskId: -1 } },
    { $unset: "tail" },
    ...joinParent(context),
    { $unset: "parent" },
    // One more than the limit, to see whether there are more.
    { $limit: query.limit + 1 },
  ];
  return tasks
    .aggregate<TaskRecord>(stages, { ...(incarnation !== undefined && { hint: conversationIndex }) })
    .toArray();
}

/** Ranges that are each contiguous in an index, so no record is read that isn't returned. */
function pageFilter({ scope, state, statusTimeMsMin, after }: TaskQuery, incarnation: Binary | undefined): Document {
  const of = incarnation === undefined ? { scope: scopeKey(scope) } : { incarnation };
  const inState = state !== undefined ? { state } : incarnation === undefined ? {} : { state: { $in: states } };
  const since = statusTimeMsMin === undefined ? {} : { $gte: statusTimeMsMin };
  if (after === undefined) {
    return { ...of, ...inState, ...(statusTimeMsMin !== undefined && { statusTime: since }) };
  }
  const { statusTimeMs, taskId } = after;
  if (incarnation !== undefined && state === undefined) {
    // One range for each state: with two, MongoDB wouldn't merge the states in order. Only tasks of exactly the same
    // time are read in vain.
    return {
      ...of,
      ...inState,
      statusTime: { $lte: statusTimeMs, ...since },
      $nor: [{ statusTime: statusTimeMs, taskId: { $gte: taskId } }],
    };
  }
  const sameTime = { statusTime: statusTimeMs, taskId: { $lt: taskId } };
  const ranges = [
    { statusTime: { $lt: statusTimeMs, ...since } },
    ...(statusTimeMsMin !== undefined && statusTimeMs < statusTimeMsMin ? [] : [sameTime]),
  ];
  return { ...of, ...inState, $or: ranges };
}

/**
 * Counts the tasks of the conversations that can be found, on an index alone. No task's record is read. A task whose
 * conversation is gone isn't counted, even if its own record is not removed yet.
 */
async function countTasks(
  context: MongoContext,
  { scope, state, statusTimeMsMin }: TaskQuery,
  incarnation: Binary | undefined,
): Promise<number> {
  const { conversations, tasks } = context.collections;
  const filter: Filter<TaskRecord> = {
    state: state ?? { $in: states as TaskState[] },
    ...(statusTimeMsMin !== undefined && { statusTime: { $gte: statusTimeMsMin } }),
  };
  if (incarnation !== undefined) {
    return tasks.countDocuments({ incarnation, ...filter });
  }
  const stages = [
    { $match: { scope: scopeKey(scope), $expr: liveExpression(ttlOf(context)) } },
    { $project: { incarnation: 1 } },
    {
      $lookup: {
        from: tasks.collectionName,
        localField: "incarnation",
        foreignField: "incarnation",
        as: "tasks",
        pipeline: [{ $match: filter }, { $count: "count" }],
      },
    },
    { $group: { _id: null, total: { $sum: { $first: "$tasks.count" } } } },
  ];
  const [found] = await conversations.aggregate(stages).toArray();
  return found?.total ?? 0;
}
