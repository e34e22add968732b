import type { Scope, TaskKey } from "../../../domain/scope.ts";
import type { TaskCommand } from "../../storage.ts";
import type { Moment } from "../../tables/moment.ts";
import type { HeaderRow, SegmentRow, TaskFilter, TaskRow, TaskTables } from "../../tables/tables.ts";
import { livesOf } from "./conversation-tables.ts";
import { as, type Row, run, scopeKey, taskKey } from "./row.ts";
import type { Statements } from "./statements.ts";

/** The tasks of a database, what hangs on one task, and the replicas. */
export function taskTables(sql: Statements): TaskTables {
  const commands = (task: number) => sql.listCommands.all({ task }).map(as<TaskCommand>);

  return {
    task(key, at) {
      const row = sql.findTask.get({ key: taskKey(key), liveSince: at.liveSince, heldSince: at.heldSince });
      // Into the row itself, since a copy costs a quarter of the statement.
      return (
        row &&
        as<TaskRow>(
          Object.assign(row, {
            runner: row.runner ?? undefined,
            fence: BigInt(row.fence as string),
            live: row.live === 1,
          }),
        )
      );
    },
    header(key, at) {
      const row = sql.getTask.get({ key: taskKey(key), ...livesOf(at) });
      if (row === undefined) {
        return undefined;
      }
      const { snapshot: number, sequence } = row;
      return { ...headerRow(row, key), ...(number !== null && { snapshot: as({ number, sequence }) }) };
    },
    addTask(key, task) {
      const keys = { key: taskKey(key), scope: scopeKey(key), taskId: key.taskId };
      return sql.addTask.run({ ...keys, ...task, runner: task.runner ?? null }).lastInsertRowid as number;
    },
    advanceTask(id, after, next, change) {
      const progress = { id, ...next, afterHead: after.head, afterBatch: after.batch, afterFence: after.fence };
      const { changes } =
        change === undefined
          ? sql.advanceTask.run(progress)
          : sql.changeTask.run({ ...progress, ...change, runner: change.runner ?? null });
      return changes === 1;
    },
    hideTask: (id) => run(sql.hideTask, { id }),
    putSummary: (task, bytes) => run(sql.putSummary, { task, bytes }),
    pageTasks(filter, after, limit, at) {
      const place = {
        statusTimeMsMin: filter.statusTimeMsMin,
        afterTimeMs: after?.statusTimeMs ?? Number.MAX_SAFE_INTEGER,
        afterTaskId: after?.taskId ?? "",
        limit,
      };
      return pageRows(sql, filter, { ...place, ...livesOf(at) }).map((row) => headerRow(row, filter.scope));
    },
    countTasks: (filter, at) => countTasks(sql, filter, at),

    addSegment: (task, first, { id: batch, count, bytes }) => run(sql.addSegment, { task, first, count, batch, bytes }),
    segments: (task, from) => segmentRows(sql.readSegments.iterate({ task, from })),
    segmentsAt(places) {
      let last: (SegmentRow & { readonly task: number }) | undefined;
      return places.map(({ task, sequence }) => {
        if (last?.task !== task || sequence < last.first || sequence >= last.first + last.count) {
          const row = sql.findSegment.get({ task, sequence });
          last = row && as({ ...row, task });
        }
        return last;
      });
    },

    commands,
    addCommand: (task, { id: commandId, bytes }) => run(sql.addCommand, { task, commandId, bytes }),
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
    countSnapshotPieces: (task, snapshot) => countOf(sql.countSnapshotPieces.get({ task, snapshot })),
    nameSnapshot(task, snapshot, sequence) {
      sql.nameSnapshot.run({ id: task, snapshot, sequence });
      sql.removeOtherSnapshots.run({ task, snapshot });
    },
    snapshotPieces: (task, snapshot) => sql.snapshotPieces.all({ task, snapshot }).map(bytesOf),

    putConfig: (task, configId, bytes) => run(sql.putConfig, { task, configId, bytes }),
    config(task, configId) {
      const row = sql.getConfig.get({ task, configId });
      return row && bytesOf(row);
    },
    configs: (task) => sql.listConfigs.all({ task }).map(bytesOf),
    removeConfig: (task, configId) => sql.removeConfig.run({ task, configId }).changes === 1,

    addReplica: (replica, nowMs) => run(sql.addReplica, { replica, nowMs }),
    heartbeat: (replica, nowMs) => sql.heartbeat.run({ replica, nowMs }).changes === 1,
    removeReplica: (replica, counter) => run(sql.removeReplica, { replica, counter: counter ?? null }),
    replicas() {
      return sql.listReplicas
        .all()
        .map((row) => ({ replica: row.replica as string, counter: BigInt(row.counter as number) }));
    },
    forgetReplicas: (before) => run(sql.forgetReplicas, { before }),
    nextRunner: (after) => sql.nextRunner.get({ after })?.runner as string | undefined,
    lastRunningTask: (replica) => ((sql.lastRunningTask.get({ replica }) as Row).id as number | null) ?? undefined,
    runningTasks: (replica, { from, to }, limit) => sql.runningTasks.all({ replica, from, to, limit }).map(as<TaskKey>),
  };

  function headerRow(row: Row, { tenant, owner }: Scope): HeaderRow {
    const { id, taskId, contextId, batch, state, statusTimeMs, replica, summary, logBytes } = row;
    const key = { tenant, owner, taskId };
    const end = { head: BigInt(row.head as number), batch, fence: BigInt(row.fence as string), logBytes };
    return as({
      id,
      task: { key, contextId, ...end, state, statusTimeMs, replica, summary, commands: commands(id as number) },
    });
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

function* segmentRows(rows: Iterable<Row>): Iterable<SegmentRow> {
  for (const row of rows) {
    yield as(row);
  }
}
