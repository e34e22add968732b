import type { TaskKey } from "../../domain/scope.ts";
import type { ReplicaRecord } from "../storage.ts";

type Wake = (keys: readonly TaskKey[]) => void;

/** The counters of replicas and their inboxes, all of them in this process. */
export class MemoryReplicas {
  readonly #counters = new Map<string, bigint>();
  readonly #inboxes = new Map<string, Set<{ readonly wake: Wake }>>();

  heartbeat(replica: string): void {
    this.#counters.set(replica, (this.#counters.get(replica) ?? 0n) + 1n);
  }

  deregister(replica: string): void {
    this.#counters.delete(replica);
  }

  list(): readonly ReplicaRecord[] {
    return Array.from(this.#counters, ([replica, counter]) => ({ replica, counter }));
  }

  watch(replica: string, wake: Wake): AsyncDisposable {
    const inbox = { wake };
    const inboxes = this.#inboxes.get(replica) ?? new Set();
    this.#inboxes.set(replica, inboxes.add(inbox));
    return {
      [Symbol.asyncDispose]: async () => {
        inboxes.delete(inbox);
        if (inboxes.size === 0 && this.#inboxes.get(replica) === inboxes) {
          this.#inboxes.delete(replica);
        }
      },
    };
  }

  wake(replicas: readonly string[], keys: readonly TaskKey[]): void {
    for (const replica of new Set(replicas)) {
      const inboxes = this.#inboxes.get(replica) ?? new Set();
      for (const inbox of inboxes) {
        // Later, as from a database: whoever wakes must not run the code of whoever wakes up.
        queueMicrotask(() => {
          if (inboxes.has(inbox)) {
            inbox.wake(keys.map((key) => ({ ...key })));
          }
        });
      }
    }
  }

  close(): void {
    for (const inboxes of this.#inboxes.values()) {
      inboxes.clear();
    }
    this.#inboxes.clear();
    this.#counters.clear();
  }
}
