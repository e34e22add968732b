import {
  type ConversationPlace,
  compareIds,
  type HeaderChange,
  type MessagePlace,
  type MessageRow,
  type MessageSource,
  type Scope,
  type SegmentRow,
  type TaskCommand,
  type TaskKey,
  type TaskPlace,
} from "../../../src/index.ts";

/** The rows of the map storage, and their orders. */

export interface Conversation extends Scope {
  readonly id: number;
  readonly contextId: string;
  lastAccessMs: number;
  messageCount: number;
}

export interface Message extends Scope {
  readonly id: number;
  readonly conversation: number;
  readonly messageId: string;
  readonly timeMs: number;
  readonly taskId: string;
  readonly sequence: number;
  readonly source: MessageSource;
}

export interface Claim extends Scope {
  readonly id: number;
  readonly messageId: string;
  readonly contentHash: string;
  readonly taskId: string;
  readonly endsMs: number;
  readonly conversation: number | undefined;
  readonly answer: Uint8Array | undefined;
}

export interface Task extends TaskKey, HeaderChange {
  readonly id: number;
  readonly conversation: number;
  readonly head: number;
  readonly batch: string;
  readonly fence: bigint;
  readonly logBytes: number;
  summary: Uint8Array;
  readonly segments: SegmentRow[];
  /** The number of its snapshot, 0 without one. */
  readonly snapshot: number;
  readonly snapshotSequence: number;
  readonly snapshotPieces: Map<number, readonly Uint8Array[]>;
  readonly commands: Map<string, TaskCommand>;
  readonly configs: Map<string, Uint8Array>;
}

/** The row of an id that was found in the same operation. */
export function get<R>(table: ReadonlyMap<number, R>, id: number): R {
  return table.get(id) as R;
}

export function removeWhere<R>(table: Map<number, R>, matches: (row: R) => boolean): void {
  for (const [id, row] of table) {
    if (matches(row)) {
      table.delete(id);
    }
  }
}

export function isIn(row: Scope, { tenant, owner }: Scope): boolean {
  return row.tenant === tenant && row.owner === owner;
}

export function keyOf({ tenant, owner, taskId }: TaskKey): TaskKey {
  return { tenant, owner, taskId };
}

/** The order of lists of tasks: newest status first, then by id, descending. */
export function compareTasks(a: TaskPlace, b: TaskPlace): number {
  return b.statusTimeMs - a.statusTimeMs || compareIds(b.taskId, a.taskId);
}

/** The order of lists of conversations: the one accessed last first, then by id. */
export function compareAccess(a: ConversationPlace, b: ConversationPlace): number {
  return b.lastAccessMs - a.lastAccessMs || compareIds(a.contextId, b.contextId);
}

/** The order of histories: time, then task, then sequence. */
export function comparePlaces(a: Message, b: Message | MessagePlace): number {
  return a.timeMs - b.timeMs || compareIds(a.taskId, b.taskId) || a.sequence - Number(b.sequence);
}

export function messageRow({ timeMs, taskId, sequence, source }: Message): MessageRow {
  const own = "task" in source ? { task: source.task } : { bytes: new Uint8Array(source.bytes) };
  return { timeMs, taskId, sequence, source: own };
}
