import type { ReplicaRecord } from "../../storage.ts";
import type { SqliteContext } from "../thread/context.ts";

export function heartbeat(context: SqliteContext, { replica }: { readonly replica: string }, nowMs: number): void {
  context.sql.beat.run({ replica, nowMs });
}

export function deregister(context: SqliteContext, { replica }: { readonly replica: string }): void {
  context.sql.leave.run({ replica });
}

export function listReplicas(context: SqliteContext, _args: unknown): readonly ReplicaRecord[] {
  return context.sql.listReplicas
    .all()
    .map((row) => ({ replica: row.replica as string, counter: BigInt(row.counter as number) }));
}
