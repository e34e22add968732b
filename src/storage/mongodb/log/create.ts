import type { TaskKey } from "../../../domain/scope.ts";
import type { MessageClaim, TaskAppend } from "../../storage.ts";
import type { AppendOutcome } from "../../storage-engine.ts";
import { StorageError } from "../../storage-error.ts";
import { type ClaimAttempt, claimForTask, releaseClaim } from "../claims/claims.ts";
import { belongingOf, expiryOf, type MongoContext } from "../context.ts";
import type { Touch } from "../conversations/conversation-pipelines.ts";
import { ensureConversation, pinnedUntil, pinOf, type Touched, undoTouch } from "../conversations/conversations.ts";
import { innerPointer, now, pointerRecords, removePointers, writePointers } from "../conversations/pointers.ts";
import { trimIfLong } from "../conversations/trim.ts";
import { allOf, isDuplicateKey } from "../errors.ts";
import { bigintOf, conversationKey, newId, scopeKey, taskKey } from "../keys.ts";
import { removeLogLater } from "../lifetime/removal-steps.ts";
import { attemptsMax } from "../limits.ts";
import type { ClaimPointer, MessageRecord, TaskRecord } from "../records.ts";
import { isRunning } from "../states.ts";
import { headerFields } from "./append-update.ts";
import { putInline } from "./blobs.ts";
import { itemBytes, sizeOf } from "./entries.ts";
import { type FoundTask, findTask } from "./find-task.ts";
import { readTask } from "./read-log.ts";
import { fitsRecord, writeItem } from "./tail.ts";

type Create = NonNullable<TaskAppend["create"]>;

/**
 * Creates a task. First, at the same time, the claim is taken and the conversation is touched and pinned. Then the
 * task's record is inserted, which decides: it contains the first batch and the pointer to the first message. Pointers
 * to further messages are written before it. If it can't be inserted, claim and conversation are put back.
 */
export async function createTask(
  context: MongoContext,
  key: TaskKey,
  append: TaskAppend,
  { contextId, claim }: Create,
): Promise<AppendOutcome> {
  const task = taskKey(key);
  const { header, batch, messages } = append;
  const touch: Touch = {
    access: "now",
    pin: pinOf(context, task, header, batch.entries.length),
    messageCount: messages.length,
    token: newId(),
  };
  const [claimed, touched] = await allOf([
    claim === undefined
      ? Promise.resolve(undefined)
      : claimForTask(context, key, claim, conversationKey(key, contextId)),
    ensureConversation(context, key, contextId, touch),
  ]);
  if (claimed !== undefined && claimed.outcome !== "accepted") {
    await undoTouch(context, touched, touch);
    if (claimed.outcome === "reused") {
      return { outcome: "reused" };
    }
    const { taskId, answer } = claimed;
    return { outcome: "duplicate", claim: { taskId, ...(answer !== undefined && { answer }) } };
  }
  const record = await taskRecord(context, key, append, contextId, touched, claimed?.held);
  const pointers = morePointers(context, key, append, record);
  await writePointers(context, pointers);
  const rival = await insert(context, record);
  if (rival !== undefined) {
    // If an earlier try of this append was committed, its claim stays. Its pointers are those of another log.
    const again = rival.batch === batch.id || (await readTask(context, key, 0n, 0))[0]?.batch === batch.id;
    const undone = again ? [] : [undoTouch(context, touched, touch), undoClaim(context, key, claim, claimed)];
    // Errors are ignored: what is left over has no effect, and the outcome is known.
    await Promise.allSettled([removePointers(context, pointers), ...undone]);
    const { head, replica, fence } = rival;
    return { outcome: "lost", head: BigInt(head), batch: rival.batch, replica, fence: bigintOf(fence) };
  }
  const { log, conversation, incarnation, tailBytes, state, expireAt } = record;
  const hint = {
    log,
    conversation,
    incarnation,
    contextId,
    tailBytes,
    state,
    expireAt,
    lastSequence: 0,
    confirmedAt: performance.now(),
  };
  context.hints.set(task, hint);
  context.running.note(task, hint, touch.pin);
  trimIfLong(context, touched.record);
  if (record.longLived === true && !isRunning(state)) {
    context.ended.add(context, { ...hint, until: pinnedUntil(context, header) });
  }
  const otherContent = claimed?.outcome === "accepted" && claimed.otherContent;
  return {
    outcome: "committed",
    head: BigInt(record.head),
    ...(otherContent && { otherContent }),
    watchers: [],
    commands: [],
  };
}

async function taskRecord(
  context: MongoContext,
  key: TaskKey,
  append: TaskAppend,
  contextId: string,
  { record }: Touched,
  claim: ClaimPointer | undefined,
): Promise<TaskRecord> {
  const { tenant, owner, taskId } = key;
  const { batch, header, messages } = append;
  const owner_ = { log: newId(), incarnation: record.incarnation };
  const [item, summary] = await allOf([
    writeItem(context, owner_, 1, batch),
    putInline(context, owner_, header.summary ?? new Uint8Array()),
  ]);
  const [first] = messages;
  const expiry = expiryOf(context, {
    running: isRunning(header.state),
    until: pinnedUntil(context, header),
    covered: record.covered,
  });
  return {
    _id: taskKey(key),
    log: owner_.log,
    conversation: record._id,
    ...belongingOf(record.incarnation, expiry),
    scope: scopeKey(key),
    tenant,
    owner,
    taskId,
    contextId,
    head: batch.entries.length,
    batch: batch.id,
    ...(headerFields(header) as Pick<TaskRecord, "fence" | "state" | "statusTime" | "replica" | "runner">),
    summary,
    logBytes: sizeOf(batch.entries),
    tail: [item],
    tailFirst: 1,
    tailBytes: itemBytes(item),
    commands: [],
    watchers: [],
    ...(first !== undefined && { first: innerPointer(key, 0, first) }),
    ...(claim !== undefined && { claim }),
    ...((!fitsRecord(batch) || messages.length > 1) && { longLived: true }),
    at: now,
  };
}

/** The pointers that are not in the task's record. */
function morePointers(
  context: MongoContext,
  key: TaskKey,
  { batch, messages, header }: TaskAppend,
  record: Omit<TaskRecord, "tail">,
): readonly MessageRecord[] {
  const { _id: task, log, conversation, contextId, incarnation } = record;
  const of = { scope: key, task, taskId: key.taskId, log, conversation, contextId, incarnation };
  const expiry = expiryOf(context, { running: isRunning(header.state), until: pinnedUntil(context, header) });
  return pointerRecords(of, 0, batch.id, messages.slice(1), expiry);
}

/**
 * Inserts the record, or replaces one that can't be found any more. Returns the task that exists, if it can be
 * found.
 */
async function insert(context: MongoContext, record: TaskRecord): Promise<FoundTask | undefined> {
  const { tasks } = context.collections;
  for (let attempt = 1; attempt <= attemptsMax; attempt++) {
    try {
      await tasks.insertOne(record);
      return undefined;
    } catch (error) {
      if (!isDuplicateKey(error)) {
        throw error;
      }
    }
    const found = await findTask(context, record._id);
    if (found !== undefined) {
      return found;
    }
    const past = await tasks.findOne({ _id: record._id }, { projection: { log: 1 } });
    if (past !== null) {
      const { _id, ...replacement } = record;
      const replaced = await tasks.findOneAndReplace({ _id, log: past.log }, replacement, { projection: { log: 1 } });
      if (replaced !== null) {
        removeLogLater(context, past.log, _id);
        return undefined;
      }
    }
  }
  throw new StorageError("unavailable", `Task "${record.taskId}" is created and removed too often at once`, {
    outcome: "unknown",
  });
}

async function undoClaim(
  context: MongoContext,
  key: TaskKey,
  claim: MessageClaim | undefined,
  claimed: ClaimAttempt | undefined,
): Promise<void> {
  if (claim !== undefined && claimed?.outcome === "accepted") {
    await releaseClaim(context, key, claim, claimed.token);
  }
}
