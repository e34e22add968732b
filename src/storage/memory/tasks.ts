import type { TaskKey } from "../../domain/scope.ts";
import { isSettled } from "../../domain/task-state.ts";
import { compareIds } from "../compare-ids.ts";
import type {
  Snapshot,
  StoredEntry,
  StoredTask,
  TaskAppend,
  TaskClaim,
  TaskCommand,
  TaskPage,
  TaskPlace,
  TaskQuery,
} from "../storage.ts";
import type { AppendOutcome } from "../storage-engine.ts";
import { findRival, settleClaim } from "./claims.ts";
import type { TaskRecord } from "./records.ts";
import type { MemoryState } from "./state.ts";

type Committed = Extract<AppendOutcome, { readonly outcome: "committed" }>;

export function appendTask(state: MemoryState, key: TaskKey, append: TaskAppend, nowMs: number): AppendOutcome {
  const task = state.findTask(key, nowMs);
  if (append.create === undefined) {
    if (task === undefined) {
      return { outcome: "gone" };
    }
    const { head, batch, fence } = append.after;
    if (head !== BigInt(task.entries.length) || batch !== task.batches.at(-1) || fence !== task.fence) {
      return lostTo(task);
    }
    return commit(state, task, append, nowMs);
  }
  if (task !== undefined) {
    return lostTo(task);
  }
  return createTask(state, key, append, append.create, nowMs);
}

function createTask(
  state: MemoryState,
  key: TaskKey,
  append: TaskAppend,
  { contextId, claim }: NonNullable<TaskAppend["create"]>,
  nowMs: number,
): AppendOutcome {
  const rival = claim === undefined ? undefined : findRival(state, key, claim, nowMs);
  if (rival?.duplicate !== undefined) {
    return { outcome: "duplicate", claim: rival.duplicate };
  }
  if (rival?.otherContent && claim?.strict) {
    return { outcome: "reused" };
  }
  // A task of that id that is not found but still here belongs to a conversation past its time; all of it goes, as it
  // would be swept.
  const past = state.findScope(key)?.tasks.get(key.taskId);
  if (past !== undefined) {
    state.removeConversation(past.conversation);
  }
  const conversation = state.ensureConversation(key, contextId, nowMs);
  const { header } = append;
  const task: TaskRecord = {
    key: { tenant: key.tenant, owner: key.owner, taskId: key.taskId },
    conversation,
    entries: [],
    batches: [],
    logBytes: 0,
    state: header.state,
    statusTimeMs: header.statusTimeMs,
    replica: header.replica,
    pending: header.pending ?? false,
    fence: header.fence,
    summary: new Uint8Array(),
    snapshot: undefined,
    requests: new Map(),
    pushNotifications: new Map(),
  };
  state.addTask(task);
  state.setLastAccess(conversation, nowMs);
  if (claim !== undefined) {
    settleClaim(state, conversation, claim, undefined, nowMs);
  }
  const committed = commit(state, task, append, nowMs);
  return rival?.otherContent ? { ...committed, otherContent: true } : committed;
}

function commit(
  state: MemoryState,
  task: TaskRecord,
  { batch, header, messages, handled: answered }: TaskAppend,
  nowMs: number,
): Committed {
  const { conversation } = task;
  const head = task.entries.length;
  for (const entry of batch.entries) {
    task.entries.push(entry);
    task.batches.push(batch.id);
    task.logBytes += entry.byteLength;
  }
  state.updateTask(task, {
    state: header.state,
    statusTimeMs: header.statusTimeMs,
    replica: header.replica,
    pending: header.pending ?? false,
  });
  task.fence = header.fence;
  task.summary = header.summary ?? task.summary;
  for (const id of answered) {
    task.requests.delete(id);
  }
  for (const { index, messageId, timeMs } of messages) {
    state.addMessage({
      conversation,
      messageId,
      timeMs,
      sequence: head + index + 1,
      order: state.nextOrder(),
      source: { task },
    });
  }
  if (messages.length > 0 || isSettled(header.state)) {
    state.setLastAccess(conversation, nowMs);
  }
  // Readers of this storage are in this process and hear of an append without a wake-up, so there is nobody to name.
  return { outcome: "committed", head: BigInt(task.entries.length), watchers: [], commands: requestsOf(task) };
}

function lostTo(task: TaskRecord): AppendOutcome {
  const { entries, batches, replica, fence } = task;
  return { outcome: "lost", head: BigInt(entries.length), batch: batches.at(-1) as string, replica, fence };
}

/** What a caller sees of a task. The caller owns the bytes, so all of them are copies. */
export function storedTask(task: TaskRecord, withSnapshot: boolean): StoredTask {
  const { key, conversation, entries, batches, state, statusTimeMs, replica, fence, summary, logBytes, snapshot } =
    task;
  return {
    key: { ...key },
    contextId: conversation.contextId,
    head: BigInt(entries.length),
    batch: batches.at(-1) as string,
    state,
    statusTimeMs,
    replica,
    fence,
    summary: copyOf(summary),
    logBytes,
    commands: requestsOf(task),
    ...(withSnapshot &&
      snapshot !== undefined && { snapshot: { sequence: snapshot.sequence, bytes: copyOf(snapshot.bytes) } }),
  };
}

function requestsOf(task: TaskRecord): readonly TaskCommand[] {
  return Array.from(task.requests, ([id, bytes]) => ({ id, bytes: copyOf(bytes) }));
}

export function readEntries(task: TaskRecord, after: bigint, bytesMax: number): readonly StoredEntry[] {
  const found: StoredEntry[] = [];
  let bytesLeft = bytesMax;
  for (let index = Number(after); index < task.entries.length; index++) {
    const bytes = task.entries[index] as Uint8Array;
    bytesLeft -= bytes.byteLength;
    if (bytesLeft < 0 && found.length > 0) {
      break;
    }
    found.push({ sequence: BigInt(index + 1), batch: task.batches[index] as string, bytes: copyOf(bytes) });
  }
  return found;
}

export function listTasks(state: MemoryState, query: TaskQuery, nowMs: number): TaskPage {
  const tasks: StoredTask[] = [];
  let total = 0;
  let more = false;
  const all = state.findScope(query.scope)?.tasksByStatus.items ?? [];
  for (let index = all.length - 1; index >= 0; index--) {
    const task = all[index] as TaskRecord;
    if (!passes(task, query) || !state.isLive(task.conversation, nowMs)) {
      continue;
    }
    total += 1;
    if (query.after !== undefined && compareToPlace(task, query.after) <= 0) {
      continue;
    }
    if (tasks.length < query.limit) {
      tasks.push(storedTask(task, false));
    } else {
      more = true;
    }
  }
  return { tasks, total, more };
}

function passes(task: TaskRecord, { contextId, state, statusTimeMsMin }: TaskQuery): boolean {
  return (
    (contextId === undefined || task.conversation.contextId === contextId) &&
    (state === undefined || task.state === state) &&
    (statusTimeMsMin === undefined || task.statusTimeMs >= statusTimeMsMin)
  );
}

function compareToPlace(task: TaskRecord, place: TaskPlace): number {
  return place.statusTimeMs - task.statusTimeMs || compareIds(place.taskId, task.key.taskId);
}

export function deleteTask(state: MemoryState, task: TaskRecord): void {
  for (const claim of task.conversation.claims) {
    if (claim.taskId === task.key.taskId) {
      state.removeClaim(claim);
    }
  }
  state.removeTask(task);
}

export function storeSnapshot(task: TaskRecord, { sequence, bytes }: Snapshot): void {
  if (sequence > (task.snapshot?.sequence ?? 0n) && sequence <= BigInt(task.entries.length)) {
    task.snapshot = { sequence, bytes };
  }
}

export function claimTasks(state: MemoryState, { replicas, limit }: TaskClaim): readonly TaskKey[] {
  const tasks = [...new Set(replicas)].flatMap((replica) => [...(state.claimableTasks.get(replica) ?? [])]);
  const keys: TaskKey[] = [];
  while (keys.length < limit && tasks.length > 0) {
    // Two callers that took the same order would try to take the same tasks over.
    const index = Math.floor(Math.random() * tasks.length);
    const chosen = tasks[index] as TaskRecord;
    tasks[index] = tasks.at(-1) as TaskRecord;
    tasks.pop();
    keys.push({ ...chosen.key });
  }
  return keys;
}

/** Not `slice`: a Buffer is a Uint8Array, too, and its `slice` copies nothing. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
