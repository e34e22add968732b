/**
 * Whom data belongs to. Part of every key of every storage (R11, R184, R185). `owner` is empty until authentication
 * exists.
 */
export interface Scope {
  readonly tenant: string;
  readonly owner: string;
}

/**
 * The sender of a call, as the transport identified it. Its scope decides what is visible. The rest is for the
 * processor.
 */
export interface Caller extends Scope {
  readonly claims: Readonly<Record<string, unknown>>;
  readonly headers: Headers;
}

/** A request without a caller acts for the anonymous owner of the tenant that it names. */
export function callerOrAnonymous(caller: Caller | undefined, tenant: string): Caller {
  return caller ?? { tenant, owner: "", claims: {}, headers: new Headers() };
}

/** A task within its scope. */
export interface TaskKey extends Scope {
  readonly taskId: string;
}

/** A task of a caller; of the anonymous one without a caller. */
export function keyOf(taskId: string, caller: Caller | undefined): TaskKey {
  return { tenant: caller?.tenant ?? "", owner: caller?.owner ?? "", taskId };
}

/** A conversation within its scope. */
export interface ConversationKey extends Scope {
  readonly contextId: string;
}

/** A string that is equal for equal keys, and different for different keys. */
export function taskKeyString(key: TaskKey): string {
  return scopedString(key, key.taskId);
}

/** The same for any id within a scope. Ids may hold any character, so the lengths come first. */
export function scopedString({ tenant, owner }: Scope, id: string): string {
  return `${tenant.length}:${tenant}${owner.length}:${owner}${id}`;
}
