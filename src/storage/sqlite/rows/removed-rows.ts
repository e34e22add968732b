import type { StatementSync } from "node:sqlite";
import type { RemovedKind, RemovedRows } from "../../tables/tables.ts";
import { freePagesKept, freePartKept, pagesGivenBackMax } from "../limits.ts";
import { idOf, run } from "./row.ts";
import type { Statements } from "./statements.ts";

const removeStatements = {
  conversationMessages: "removeMessage",
  conversationClaims: "removeClaim",
  taskMessages: "removeMessage",
  taskSegments: "removeSegment",
  taskSnapshots: "removeSnapshot",
  taskCommands: "removeCommandRow",
  endedClaims: "removeClaim",
} as const satisfies Record<RemovedKind, keyof Statements>;

/** The rows of hidden conversations and tasks. `shrunk` is called when all space that is to be given back was. */
export function removedRows(sql: Statements, shrunk: () => void): RemovedRows {
  return {
    conversation: () => firstId(sql.removedConversation),
    task: () => firstId(sql.removedTask),
    hideTasks(conversation, limit) {
      const tasks = sql.tasksOfConversation.all({ conversation, limit });
      for (const row of tasks) {
        sql.hideTask.run({ id: idOf(row) });
      }
      return tasks.length;
    },
    rows: (kind, of, limit) => sql[kind].all({ of, limit }).map((row) => ({ id: idOf(row), size: row.size as number })),
    removeRows(kind, ids) {
      const statement = sql[removeStatements[kind]];
      for (const id of ids) {
        statement.run({ id });
      }
    },
    removeConversation: (id) => run(sql.removeConversation, { id }),
    giveBack() {
      const kept = Math.max(freePagesKept, Math.floor(numberOf(sql.allPages, "page_count") * freePartKept));
      // A step is always of the same size, so one that would go below the pages kept is not begun.
      const isDue = () => numberOf(sql.freePages, "freelist_count") >= kept + pagesGivenBackMax;
      if (!isDue()) {
        return false;
      }
      // `all`, since each step of the statement frees one page.
      sql.giveBackPages.all();
      const more = isDue();
      if (!more) {
        shrunk();
      }
      return more;
    },
    removeTask(task) {
      sql.removeConfigs.run({ task });
      sql.removeSummary.run({ task });
      sql.removeTask.run({ id: task });
    },
  };
}

function numberOf(statement: StatementSync, column: string): number {
  return statement.get()?.[column] as number;
}

function firstId(statement: StatementSync): number | undefined {
  const row = statement.get();
  return row && idOf(row);
}
