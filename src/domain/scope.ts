/**
 * Whose data: every key of every storage carries it (R11, R184, R185). `owner` is empty until authentication exists.
 */
export interface Scope {
  readonly tenant: string;
  readonly owner: string;
}

/**
 * Who calls, as far as the transport found out. Scope decides what is visible; claims and headers are for the
 * processor.
 */
export interface Caller extends Scope {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly headers: Headers;
}

/** A task within its scope. */
export interface TaskKey extends Scope {
  readonly taskId: string;
}

/** A conversation within its scope. */
export interface ConversationKey extends Scope {
  readonly contextId: string;
}

/** A string that is equal for equal keys and only for those. */
export function taskKeyString(key: TaskKey): string {
  return scopedString(key, key.taskId);
}

/** The same for any id within a scope: ids may hold any character, so lengths go first. */
export function scopedString({ tenant, owner }: Scope, id: string): string {
  return `${tenant.length}:${tenant}${owner.length}:${owner}${id}`;
}
