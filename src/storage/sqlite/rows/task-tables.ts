import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskKey } from "../../../domain/scope.ts";
import type { StoredTask, TaskCommand } from "../../storage.ts";
import type { Moment } from "../../tables/moment.ts";
import type { HeaderRow, SegmentRow, TaskFilter, TaskTables } from "../../tables/tables.ts";
import { livesOf } from "./conversation-tables.ts";
import { type Row, scopeKey, taskKey } from "./row.ts";
import type { Statements } from "./statements.ts";

/** The tasks of a database, what hangs on one task, and the replicas. */
export function taskTables(sql: Statements): TaskTables {
  const commands = (task: number): readonly TaskCommand[] => {
    const rows = sql.listCommands.all({ task });
    return rows.map((row) => ({ id: row.request_id as string, bytes: row.bytes as Uint8Array }));
  };

  return {
    task(key, at) {
      const row = sql.findTask.get({ key: taskKey(key), liveSince: at.liveSince, heldSince: at.heldSince });
      return (
        row && {
          id: row.id as number,
          conversation: row.conversation as number,
          head: row.head as number,
          batch: row.batch as string,
          state: row.state as TaskState,
          statusTimeMs: row.status_time_ms as number,
          replica: row.replica as string,
          runner: (row.runner as string | null) ?? undefined,
          // A fence may be any 64-bit number; it is read as text, since a number holds 53 bits.
          fence: BigInt(row.fence as string),
          snapshotSequence: row.snapshot_sequence as number,
          messageCount: row.message_count as number,
          live: row.live === 1,
        }
      );
    },
    header(key, at) {
      const row = sql.getTask.get({ key: taskKey(key), ...livesOf(at) });
      if (row === undefined) {
        return undefined;
      }
      const { snapshot, snapshot_sequence: sequence } = row;
      return {
        ...headerRow(row, key),
        ...(snapshot !== null && { snapshot: { number: snapshot as number, sequence: sequence as number } }),
      };
    },
    addTask(key, { conversation, state, statusTimeMs, replica, runner, fence, head, batch, logBytes }) {
      const added = sql.addTask.run({
        key: taskKey(key),
        conversation,
        scope: scopeKey(key),
        taskId: key.taskId,
        state,
        statusTimeMs,
        replica,
        runner: runner ?? null,
        fence,
        head,
        batch,
        logBytes,
      });
      return added.lastInsertRowid as number;
    },
    advanceTask(id, after, { head, batch, fence, logBytes }, change) {
      const progress = {
        id,
        head,
        batch,
        fence,
        logBytes,
        afterHead: after.head,
        afterBatch: after.batch,
        afterFence: after.fence,
      };
      const { changes } =
        change === undefined
          ? sql.advanceTask.run(progress)
          : sql.changeTask.run({ ...progress, ...change, runner: change.runner ?? null });
      return changes === 1;
    },
    hideTask(id) {
      sql.hideTask.run({ id });
    },
    putSummary(task, bytes) {
      sql.putSummary.run({ task, bytes });
    },
    pageTasks(filter, after, limit, at) {
      const place = {
        statusTimeMsMin: filter.statusTimeMsMin,
        afterTimeMs: after?.statusTimeMs ?? Number.MAX_SAFE_INTEGER,
        afterTaskId: after?.taskId ?? "",
        limit,
      };
      const { tenant, owner } = filter.scope;
      return pageRows(sql, filter, { ...place, ...livesOf(at) }).map((row) =>
        headerRow(row, { tenant, owner, taskId: row.task_id as string }),
      );
    },
    countTasks(filter, at) {
      return countTasks(sql, filter, at);
    },

    addSegment(task, first, { id: batch, count, bytes }) {
      sql.addSegment.run({ task, first, count, batch, bytes });
    },
    segments(task, from) {
      return segmentRows(sql.readSegments.iterate({ task, from }));
    },
    segmentsAt(places) {
      let last: (SegmentRow & { readonly task: number }) | undefined;
      return places.map(({ task, sequence }) => {
        if (last?.task !== task || sequence < last.first || sequence >= last.first + last.count) {
          const row = sql.findSegment.get({ task, sequence });
          last = row && { ...segmentRow(row), task };
        }
        return last;
      });
    },

    commands,
    addCommand(task, { id: commandId, bytes }) {
      sql.addCommand.run({ task, commandId, bytes });
    },
    removeCommands(task, ids) {
      for (const commandId of ids) {
        sql.removeCommand.run({ task, commandId });
      }
    },

    addSnapshotPieces(task, snapshot, first, pieces) {
      for (const [index, bytes] of pieces.entries()) {
        sql.addSnapshotPiece.run({ task, snapshot, piece: first + index, bytes });
      }
    },
    countSnapshotPieces(task, snapshot) {
      return countOf(sql.countSnapshotPieces.get({ task, snapshot }));
    },
    nameSnapshot(task, snapshot, sequence) {
      sql.nameSnapshot.run({ id: task, snapshot, sequence });
      sql.removeOtherSnapshots.run({ task, snapshot });
    },
    snapshotPieces(task, snapshot) {
      return sql.snapshotPieces.all({ task, snapshot }).map(bytesOf);
    },

    putConfig(task, configId, bytes) {
      sql.putConfig.run({ task, configId, bytes });
    },
    config(task, configId) {
      const row = sql.getConfig.get({ task, configId });
      return row && bytesOf(row);
    },
    configs(task) {
      return sql.listConfigs.all({ task }).map(bytesOf);
    },
    removeConfig(task, configId) {
      return sql.removeConfig.run({ task, configId }).changes === 1;
    },

    heartbeat(replica, nowMs) {
      sql.heartbeat.run({ replica, nowMs });
    },
    deregister(replica) {
      sql.deregister.run({ replica });
    },
    replicas() {
      return sql.listReplicas
        .all()
        .map((row) => ({ replica: row.replica as string, counter: BigInt(row.counter as number) }));
    },
    forgetReplicas(before) {
      sql.forgetReplicas.run({ before });
    },
    lastRunningTask(replica) {
      return ((sql.lastRunningTask.get({ replica }) as Row).id as number | null) ?? undefined;
    },
    runningTasks(replica, { from, to }, limit) {
      return sql.runningTasks
        .all({ replica, from, to, limit })
        .map((row) => ({ tenant: row.tenant as string, owner: row.owner as string, taskId: row.task_id as string }));
    },
  };

  function headerRow(row: Row, { tenant, owner, taskId }: TaskKey): HeaderRow {
    const id = row.id as number;
    const task: StoredTask = {
      key: { tenant, owner, taskId },
      contextId: row.context_id as string,
      head: BigInt(row.head as number),
      batch: row.batch as string,
      state: row.state as TaskState,
      statusTimeMs: row.status_time_ms as number,
      replica: row.replica as string,
      fence: BigInt(row.fence as string),
      summary: row.summary as Uint8Array,
      logBytes: row.log_bytes as number,
      commands: commands(id),
    };
    return { id, task };
  }
}

/** Which statement reads a page depends on what the filter names, since each has an index of its own. */
function pageRows(
  sql: Statements,
  { scope, conversation, state }: TaskFilter,
  place: Readonly<Record<string, number | string>>,
): readonly Row[] {
  if (conversation !== undefined) {
    return sql.pageByConversation.all({ conversation, state: state ?? null, ...place });
  }
  return state === undefined
    ? sql.pageByScope.all({ scope: scopeKey(scope), ...place })
    : sql.pageByState.all({ scope: scopeKey(scope), state, ...place });
}

/**
 * Counts all tasks of a scope and subtracts those of conversations that are past their time or hidden: that reads
 * indexes alone, but for those conversations, which are few.
 */
function countTasks(
  sql: Statements,
  { scope: of, conversation, state, statusTimeMsMin }: TaskFilter,
  at: Moment,
): number {
  if (conversation !== undefined) {
    return countOf(sql.countByConversation.get({ conversation, state: state ?? null, statusTimeMsMin }));
  }
  const scope = scopeKey(of);
  const all =
    state === undefined
      ? sql.countByScope.get({ scope, statusTimeMsMin })
      : sql.countByState.get({ scope, state, statusTimeMsMin });
  const filter = { scope, state: state ?? null, statusTimeMsMin };
  return (
    countOf(all) - countOf(sql.countPast.get({ ...filter, ...livesOf(at) })) - countOf(sql.countRemoved.get(filter))
  );
}

function countOf(row: Row | undefined): number {
  return row?.count as number;
}

function bytesOf(row: Row): Uint8Array {
  return row.bytes as Uint8Array;
}

function segmentRow(row: Row): SegmentRow {
  return {
    first: row.first as number,
    count: row.count as number,
    batch: row.batch as string,
    bytes: bytesOf(row),
  };
}

function* segmentRows(rows: Iterable<Row>): Iterable<SegmentRow> {
  for (const row of rows) {
    yield segmentRow(row);
  }
}
