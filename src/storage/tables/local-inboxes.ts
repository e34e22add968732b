import type { TaskKey } from "../../domain/scope.ts";

type Wake = (keys: readonly TaskKey[]) => void;

/** How wake-ups get to those who watch for them. */
export interface Inboxes {
  watch(replica: string, wake: Wake): AsyncDisposable;
  wake(replicas: readonly string[], keys: readonly TaskKey[]): void | Promise<void>;
  close(): void | Promise<void>;
}

/** Wake-ups within this process, for engines that only one process uses at a time. */
export class LocalInboxes implements Inboxes {
  readonly #inboxes = new Map<string, Set<{ readonly wake: Wake }>>();

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
        // Later: the caller of `wake` must not run the code of those who watch.
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
  }
}
