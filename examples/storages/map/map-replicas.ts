import type { ReplicaRecord, TaskKey } from "../../../src/index.ts";

type Wake = (keys: readonly TaskKey[]) => void;

/** The counters of replicas, and who listens for wake-ups: all of them in this process. */
export class MapReplicas {
  readonly #counters = new Map<string, bigint>();
  readonly #watches = new Set<{ readonly replica: string; readonly wake: Wake }>();

  beat(replica: string): void {
    this.#counters.set(replica, (this.#counters.get(replica) ?? 0n) + 1n);
  }

  leave(replica: string): void {
    this.#counters.delete(replica);
  }

  list(): readonly ReplicaRecord[] {
    return Array.from(this.#counters, ([replica, counter]) => ({ replica, counter }));
  }

  watch(replica: string, wake: Wake): AsyncDisposable {
    const watch = { replica, wake };
    this.#watches.add(watch);
    return {
      [Symbol.asyncDispose]: async () => {
        this.#watches.delete(watch);
      },
    };
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): void {
    for (const watch of this.#watches) {
      if (replicas.includes(watch.replica)) {
        // Later, so that whoever wakes doesn't run the code of whoever wakes up.
        queueMicrotask(() => this.#watches.has(watch) && watch.wake(keys.map((key) => ({ ...key }))));
      }
    }
  }

  close(): void {
    this.#watches.clear();
  }
}
