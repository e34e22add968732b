import type { Scope, TaskKey } from "../../domain/scope.ts";
import { isSettled } from "../../domain/task-state.ts";
import { compareIds } from "../compare-ids.ts";
import type { StoredTask, TaskCommand, TaskPlace } from "../storage.ts";
import type { AppendOutcome } from "../storage-engine.ts";
import type { Moment } from "../tables/moment.ts";
import { changeOf, runnerOf } from "../tables/operations/append.ts";
import { endOf } from "../tables/operations/claims.ts";
import type { EncodedAppend, HeaderRow, SegmentRow, TaskAfter, TaskFilter, TaskTables } from "../tables/tables.ts";
import type { TaskRecord } from "./records.ts";
import { isLive, type MemoryState } from "./state.ts";
import type { TaskIndex } from "./task-index.ts";

/** The tasks and replicas of a memory storage. What is hidden is removed at once. */
export function taskTables(state: MemoryState, maxHistoryLength: number): TaskTables {
  return {
    task(key, at) {
      const record = state.findScope(key)?.tasks.get(key.taskId);
      if (record === undefined) {
        return undefined;
      }
      const { conversation } = record;
      return {
        id: record.id,
        conversation: conversation.id,
        head: record.head,
        batch: record.batch,
        state: record.state,
        statusTimeMs: record.statusTimeMs,
        replica: record.replica,
        runner: record.runner,
        fence: record.fence,
        snapshotSequence: record.snapshotSequence,
        messageCount: conversation.messages.length,
        live: isLive(conversation, at),
      };
    },
    header(key, at) {
      const record = state.findScope(key)?.tasks.get(key.taskId);
      if (record === undefined || !isLive(record.conversation, at)) {
        return undefined;
      }
      const { snapshot: number, snapshotSequence: sequence } = record;
      return { ...headerRow(record), ...(number !== undefined && { snapshot: { number, sequence } }) };
    },
    addTask: (key, task) => state.addTask(key, state.conversation(task.conversation), task, [], noBytes).id,
    advanceTask(id, after, { head, batch, fence, logBytes }, change) {
      const record = state.task(id);
      if (!isAfter(record, after)) {
        return false;
      }
      record.head = head;
      record.batch = batch;
      record.fence = fence;
      record.logBytes += logBytes;
      if (change !== undefined) {
        state.changeTask(record, change);
      }
      return true;
    },
    hideTask: (id) => state.removeTask(state.task(id)),
    putSummary(task, bytes) {
      state.task(task).summary = bytes;
    },
    pageTasks: (filter, after, limit, at) => pageTasks(state, filter, after, limit, at),
    countTasks: (filter, at) => countTasks(state, filter, at),

    addSegment(task, first, { id: batch, count, bytes }) {
      state.task(task).segments.push({ first, count, batch, bytes });
    },
    segments: (task, from) => copiesFrom(state.task(task).segments, from),
    segmentsAt(places) {
      return places.map(({ task, sequence }) => {
        const { segments } = state.task(task);
        return segments[indexOf(segments, sequence)];
      });
    },

    commands: (task) => commandsOf(state.task(task)),
    addCommand(task, command) {
      const record = state.task(task);
      record.commands ??= new Map<string, TaskCommand>();
      if (!record.commands.has(command.id)) {
        record.commands.set(command.id, command);
      }
    },
    removeCommands(task, ids) {
      for (const id of ids) {
        state.task(task).commands?.delete(id);
      }
    },

    addSnapshotPieces(task, snapshot, _first, pieces) {
      const record = state.task(task);
      record.snapshotPieces ??= new Map();
      record.snapshotPieces.set(snapshot, [...(record.snapshotPieces.get(snapshot) ?? []), ...pieces]);
    },
    countSnapshotPieces: (task, snapshot) => state.task(task).snapshotPieces?.get(snapshot)?.length ?? 0,
    nameSnapshot(task, snapshot, sequence) {
      const record = state.task(task);
      record.snapshot = snapshot;
      record.snapshotSequence = sequence;
      record.snapshotPieces = new Map([[snapshot, record.snapshotPieces?.get(snapshot) ?? []]]);
    },
    snapshotPieces: (task, snapshot) => state.task(task).snapshotPieces?.get(snapshot) ?? [],

    putConfig(task, configId, bytes) {
      const record = state.task(task);
      record.configs = (record.configs ?? new Map()).set(configId, bytes);
    },
    config(task, configId) {
      const bytes = state.task(task).configs?.get(configId);
      return bytes && copyOf(bytes);
    },
    configs(task) {
      const configs = [...(state.task(task).configs ?? [])].sort(([a], [b]) => compareIds(a, b));
      return configs.map(([, bytes]) => copyOf(bytes));
    },
    removeConfig: (task, configId) => state.task(task).configs?.delete(configId) ?? false,

    addReplica(replica) {
      state.replicas.set(replica, state.replicas.get(replica) ?? 1n);
    },
    heartbeat(replica) {
      const counter = state.replicas.get(replica);
      if (counter === undefined) {
        return false;
      }
      state.replicas.set(replica, counter + 1n);
      return true;
    },
    removeReplica(replica, counter = state.replicas.get(replica)) {
      if (state.replicas.get(replica) === counter) {
        state.replicas.delete(replica);
      }
    },
    replicas: () => Array.from(state.replicas, ([replica, counter]) => ({ replica, counter })),
    // Every replica is in this process. One that stopped without `deregister` is gone with it.
    forgetReplicas: () => undefined,
    nextRunner: (after) =>
      [...state.runningTasks.keys()].filter((runner) => compareIds(runner, after) > 0).sort(compareIds)[0],
    lastRunningTask(replica) {
      const tasks = state.runningTasks.get(replica);
      return tasks?.at(tasks.length - 1)?.id;
    },
    runningTasks(replica, { from, to }, limit) {
      const tasks = state.runningTasks.get(replica);
      if (tasks === undefined) {
        return [];
      }
      const start = tasks.firstIndex(({ id }) => id >= from);
      const end = tasks.firstIndex(({ id }) => id >= to);
      return tasks.slice(start, Math.min(end, start + limit)).map(({ key }) => ({ ...key }));
    },

    append: (key, append, at) =>
      append.create === undefined
        ? appendToLog(state, maxHistoryLength, key, append, at)
        : createLog(state, maxHistoryLength, key, append, append.create, at),
  };
}

/**
 * Every append to a task but one that handles commands or makes a history too long: nearly all. It saves half of what
 * the general way costs a task in memory.
 */
function appendToLog(
  state: MemoryState,
  maxHistoryLength: number,
  key: TaskKey,
  { after, batch, header, messages, handled }: EncodedAppend,
  at: Moment,
): AppendOutcome | undefined {
  const record = state.findScope(key)?.tasks.get(key.taskId);
  if (
    record === undefined ||
    handled.length > 0 ||
    !isAfter(record, after) ||
    !isLive(record.conversation, at) ||
    record.conversation.messages.length + messages.length > maxHistoryLength
  ) {
    return undefined;
  }
  const { conversation, head } = record;
  record.segments.push({ first: head + 1, count: batch.count, batch: batch.id, bytes: batch.bytes });
  record.head += batch.count;
  record.batch = batch.id;
  record.fence = header.fence;
  record.logBytes += batch.logBytes;
  record.summary = header.summary ?? record.summary;
  const change = changeOf(record, header);
  if (change !== undefined) {
    state.changeTask(record, change);
  }
  addMessages(state, record, head, messages);
  if (messages.length > 0 || isSettled(header.state)) {
    state.setLastAccess(conversation, at.nowMs);
  }
  return { outcome: "committed", head: BigInt(record.head), watchers: [], commands: commandsOf(record) };
}

/**
 * Every append that creates a task, but one under a key or with a message id that was used before, in a conversation
 * that is past its time, or with too many messages.
 */
function createLog(
  state: MemoryState,
  maxHistoryLength: number,
  key: TaskKey,
  { batch, header, messages }: EncodedAppend,
  { contextId, claim }: NonNullable<EncodedAppend["create"]>,
  at: Moment,
): AppendOutcome | undefined {
  if (claim !== undefined) {
    // As every search for claims does. It may be what empties the scope, so it comes first.
    state.dropEndedClaims(at.earliest(claim.windowMs));
  }
  const scope = state.findScope(key);
  const present = scope?.conversations.get(contextId);
  if (
    scope?.tasks.has(key.taskId) ||
    (claim !== undefined && scope?.claims.has(claim.messageId)) ||
    (present !== undefined && !isLive(present, at)) ||
    (present?.messages.length ?? 0) + messages.length > maxHistoryLength
  ) {
    return undefined;
  }
  const conversation = present ?? state.addConversation(key, contextId, at.nowMs);
  const task = {
    state: header.state,
    statusTimeMs: header.statusTimeMs,
    replica: header.replica,
    runner: runnerOf(header),
    fence: header.fence,
    head: batch.count,
    batch: batch.id,
    logBytes: batch.logBytes,
  };
  const segment = { first: 1, count: batch.count, batch: batch.id, bytes: batch.bytes };
  const record = state.addTask(key, conversation, task, [segment], header.summary ?? noBytes);
  if (claim !== undefined) {
    state.settleClaim(state.putClaim(key, claim, endOf(claim, at)), conversation, undefined);
  }
  addMessages(state, record, 0, messages);
  state.setLastAccess(conversation, at.nowMs);
  return { outcome: "committed", head: BigInt(batch.count), watchers: [], commands: [] };
}

/** Adds the messages of a batch to the history; `head` is the sequence before it. */
function addMessages(
  state: MemoryState,
  { id, key: { taskId }, conversation }: TaskRecord,
  head: number,
  messages: EncodedAppend["messages"],
): void {
  for (const { index, messageId, timeMs } of messages) {
    state.addMessage(conversation, { messageId, timeMs, source: { task: id, taskId, sequence: head + index + 1 } });
  }
}

const noBytes = new Uint8Array();

function isAfter({ head, batch, fence }: TaskRecord, after: TaskAfter): boolean {
  return BigInt(head) === after.head && batch === after.batch && fence === after.fence;
}

/** The index that holds all tasks of a filter, and no others but for its state and status time. */
function indexFor(state: MemoryState, { scope, conversation }: TaskFilter): TaskIndex<TaskRecord> | undefined {
  return conversation === undefined ? state.findScope(scope)?.taskIndex : state.conversation(conversation).taskIndex;
}

function pageTasks(
  state: MemoryState,
  filter: TaskFilter,
  after: TaskPlace | undefined,
  limit: number,
  at: Moment,
): readonly HeaderRow[] {
  const page: HeaderRow[] = [];
  for (const task of indexFor(state, filter)?.descending(filter.state, after) ?? []) {
    if (task.statusTimeMs < filter.statusTimeMsMin) {
      break;
    }
    if (isLive(task.conversation, at)) {
      page.push(headerRow(task));
    }
    if (page.length === limit) {
      break;
    }
  }
  return page;
}

/** Counts by the index alone, and subtracts the tasks of conversations that are past their time but not removed. */
function countTasks(state: MemoryState, filter: TaskFilter, at: Moment): number {
  const { scope, conversation, state: taskState, statusTimeMsMin } = filter;
  const all = indexFor(state, filter)?.count(taskState, statusTimeMsMin) ?? 0;
  return conversation === undefined ? all - countPast(state, scope, filter, at) : all;
}

function countPast(state: MemoryState, scope: Scope, filter: TaskFilter, at: Moment): number {
  let count = 0;
  for (const conversation of state.findScope(scope)?.conversationsByAccess ?? []) {
    if (conversation.lastAccessMs >= at.liveSince) {
      break;
    }
    if (!isLive(conversation, at)) {
      count += conversation.taskIndex.count(filter.state, filter.statusTimeMsMin);
    }
  }
  return count;
}

function headerRow(record: TaskRecord): HeaderRow {
  const { id, key, conversation, head, batch, state, statusTimeMs, replica, fence, summary, logBytes } = record;
  const task: StoredTask = {
    key: { ...key },
    contextId: conversation.contextId,
    head: BigInt(head),
    batch,
    state,
    statusTimeMs,
    replica,
    fence,
    summary: copyOf(summary),
    logBytes,
    commands: commandsOf(record),
  };
  return { id, task };
}

function commandsOf({ commands }: TaskRecord): readonly TaskCommand[] {
  return commands === undefined ? [] : Array.from(commands.values(), ({ id, bytes }) => ({ id, bytes: copyOf(bytes) }));
}

/** The index of the segment that holds a sequence, or would if it is beyond the head. */
function indexOf(segments: readonly SegmentRow[], sequence: number): number {
  let low = 0;
  let high = segments.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((segments[middle] as SegmentRow).first > sequence) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low - 1;
}

/** Copied one by one, since a reader stops when it has enough. */
function* copiesFrom(segments: readonly SegmentRow[], from: number): Iterable<SegmentRow> {
  for (let index = indexOf(segments, from); index < segments.length; index++) {
    const segment = segments[index] as SegmentRow;
    yield { ...segment, bytes: copyOf(segment.bytes) };
  }
}

/** Not `slice`: a Buffer is a Uint8Array, too, and its `slice` copies nothing. */
function copyOf(bytes: Uint8Array): Uint8Array {
  return new Uint8Array(bytes);
}
