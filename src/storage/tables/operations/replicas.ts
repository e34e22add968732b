import type { TaskKey } from "../../../domain/scope.ts";
import type { ReplicaRecord } from "../../storage.ts";
import type { OperationArgs } from "../../storage-engine.ts";
import { replicaKeptMs } from "../limits.ts";
import { type Moment, olderThan } from "../moment.ts";
import { type Steps, step } from "../steps.ts";
import type { Tables } from "../tables.ts";

export function* register(tables: Tables, { replica }: OperationArgs<"register">, { nowMs }: Moment): Steps<void> {
  yield* step(tables.addReplica(replica, nowMs));
}

export function* heartbeat(tables: Tables, { replica }: OperationArgs<"heartbeat">, { nowMs }: Moment): Steps<boolean> {
  return yield* step(tables.heartbeat(replica, nowMs));
}

export function* deregister(tables: Tables, { replica, counter }: OperationArgs<"deregister">): Steps<boolean> {
  yield* step(tables.removeReplica(replica, counter));
  return !(yield* step(tables.replicas())).some((record) => record.replica === replica);
}

export function* listReplicas(tables: Tables, _args: unknown): Steps<readonly ReplicaRecord[]> {
  return yield* step(tables.replicas());
}

export function* listRunners(
  tables: Tables,
  { after = "", limit }: OperationArgs<"listRunners">,
): Steps<readonly string[]> {
  const runners: string[] = [];
  while (runners.length < limit) {
    const next = yield* step(tables.nextRunner(runners.at(-1) ?? after));
    if (next === undefined) {
      break;
    }
    runners.push(next);
  }
  return runners;
}

/** Forgets replicas that sent no heartbeat for long and run no task. */
export function* forgetReplicas(tables: Tables, _args: unknown, at: Moment): Steps<void> {
  yield* step(tables.forgetReplicas(olderThan(at, replicaKeptMs)));
}

export interface ClaimTasksArgs {
  /** Without repetitions, in random order. */
  readonly replicas: readonly string[];
  readonly limit: number;
  /** A random number from 0 to 1, which is excluded. */
  readonly random: number;
}

/** Tasks of dead replicas, each replica's from a random place on, so that two callers start with different tasks. */
export function* claimTasks(tables: Tables, { replicas, limit, random }: ClaimTasksArgs): Steps<readonly TaskKey[]> {
  const keys: TaskKey[] = [];
  for (const replica of replicas) {
    const last = yield* step(tables.lastRunningTask(replica));
    if (last === undefined) {
      continue;
    }
    const start = 1 + Math.floor(random * last);
    for (const range of [
      { from: start, to: last + 1 },
      { from: 1, to: start },
    ]) {
      keys.push(...(yield* step(tables.runningTasks(replica, range, limit - keys.length))));
    }
    if (keys.length >= limit) {
      break;
    }
  }
  return keys;
}
