import type { TaskKey } from "../../../domain/scope.ts";
import { isSettled, taskStates } from "../../../domain/task-state.ts";
import type { AppendResult, HeaderUpdate, TaskAppend } from "../../storage.ts";
import type { AppendOutcome } from "../../storage-engine.ts";
import type { Moment } from "../moment.ts";
import { done, type Steps, step } from "../steps.ts";
import type { EncodedAppend, HeaderChange, Tables, TaskRow } from "../tables.ts";
import { findHeld, settleClaim } from "./claims.ts";
import { ensureConversation } from "./conversations.ts";
import { addMessages } from "./history.ts";

interface AppendArgs {
  readonly key: TaskKey;
  readonly append: EncodedAppend;
}

/** See `Storage.appendTask`. The shortcut comes before the generator, which costs as much as many an append. */
export function appendTask(tables: Tables, args: AppendArgs, at: Moment): Steps<AppendOutcome> {
  const outcome = tables.append?.(args.key, args.append, at);
  return outcome === undefined ? appendGenerally(tables, args, at) : done(outcome);
}

function* appendGenerally(tables: Tables, { key, append }: AppendArgs, at: Moment): Steps<AppendOutcome> {
  const task = yield* step(tables.task(key, at));
  if (append.create !== undefined) {
    return task?.live === true ? lostTo(task) : yield* createTask(tables, key, append, append.create, task, at);
  }
  if (task?.live !== true) {
    return { outcome: "gone" };
  }
  const { after, batch, header } = append;
  const progress = {
    head: task.head + batch.count,
    batch: batch.id,
    fence: header.fence,
    logBytes: batch.logBytes,
  };
  if (!(yield* step(tables.advanceTask(task.id, after, progress, changeOf(task, header))))) {
    return lostTo(task);
  }
  return yield* commit(tables, key, task, append, at);
}

function* createTask(
  tables: Tables,
  key: TaskKey,
  append: EncodedAppend,
  { contextId, claim }: NonNullable<TaskAppend["create"]>,
  past: TaskRow | undefined,
  at: Moment,
): Steps<AppendOutcome> {
  const held = claim === undefined ? undefined : yield* findHeld(tables, key, claim, at);
  if (held?.same !== undefined && held.same.taskId !== key.taskId) {
    const { taskId, answer } = held.same;
    return { outcome: "duplicate", claim: { taskId, answer } };
  }
  if (held?.otherContent && claim?.strict) {
    return { outcome: "reused" };
  }
  if (past !== undefined) {
    // Its conversation is past its time. Both make way for the new task, so the sweep finds their rows.
    yield* step(tables.hideTask(past.id));
    yield* step(tables.hideConversation(past.conversation));
  }
  const conversation = yield* ensureConversation(tables, key, contextId, at);
  const { batch, header } = append;
  const id = yield* step(
    tables.addTask(key, {
      conversation: conversation.id,
      state: header.state,
      statusTimeMs: header.statusTimeMs,
      replica: header.replica,
      runner: runnerOf(header),
      fence: header.fence,
      head: batch.count,
      batch: batch.id,
      logBytes: batch.logBytes,
    }),
  );
  if (claim !== undefined && held !== undefined) {
    yield* settleClaim(tables, key, claim, held, { conversation: conversation.id }, at);
  }
  const task = { id, conversation: conversation.id, messageCount: conversation.messageCount, head: 0 };
  const committed = yield* commit(tables, key, task, append, at);
  return held?.otherContent ? { ...committed, otherContent: true } : committed;
}

/** What an append brings beside the header. `task` is as it was before. */
function* commit(
  tables: Tables,
  key: TaskKey,
  task: Pick<TaskRow, "id" | "conversation" | "messageCount" | "head">,
  { batch, header, messages, handled }: EncodedAppend,
  at: Moment,
): Steps<Extract<AppendResult, { readonly outcome: "committed" }>> {
  yield* step(tables.addSegment(task.id, task.head + 1, batch));
  if (header.summary !== undefined) {
    yield* step(tables.putSummary(task.id, header.summary));
  }
  if (handled.length > 0) {
    yield* step(tables.removeCommands(task.id, handled));
  }
  if (messages.length > 0) {
    const added = messages.map(({ index, messageId, timeMs }) => ({
      messageId,
      timeMs,
      source: { task: task.id, taskId: key.taskId, sequence: task.head + index + 1 },
    }));
    yield* addMessages(tables, key, { id: task.conversation, messageCount: task.messageCount }, added, at);
  } else if (task.head === 0 || isSettled(header.state)) {
    yield* step(tables.updateConversation(task.conversation, { lastAccessMs: at.nowMs }));
  }
  const commands = yield* step(tables.commands(task.id));
  // Readers in this process learn of an append without a wake-up, so there is no replica to name.
  return { outcome: "committed", head: BigInt(task.head + batch.count), watchers: [], commands };
}

/** Undefined if the header stays as it is: the usual append, for which no index of the tasks changes. */
export function changeOf(task: HeaderChange, header: HeaderUpdate): HeaderChange | undefined {
  const { state, statusTimeMs, replica } = header;
  const runner = runnerOf(header);
  const unchanged =
    state === task.state && statusTimeMs === task.statusTimeMs && replica === task.replica && runner === task.runner;
  return unchanged ? undefined : { state, statusTimeMs, replica, runner };
}

export function runnerOf({ state, pending, replica }: HeaderUpdate): string | undefined {
  return pending || state === taskStates.SUBMITTED || state === taskStates.WORKING ? replica : undefined;
}

function lostTo({ head, batch, replica, fence }: TaskRow): AppendOutcome {
  return { outcome: "lost", head: BigInt(head), batch, replica, fence };
}
