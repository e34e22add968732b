import type { MessageProcessor } from "../agent/message-processor.ts";
import type { ManagerOptions } from "../manager/options.ts";
import { createTaskManager, type TaskManager } from "../manager/task-manager.ts";
import type { Clock } from "../runtime/clock.ts";
import type { Storage } from "../storage/storage.ts";

/** A task manager that can be killed, over a storage that outlives it. */
export interface KillableServer {
  readonly manager: TaskManager;
  /** Stops it as `kill -9` would: it reaches neither storage nor time any more, and leaves its record behind. */
  kill(): void;
}

export async function startServer(
  processor: MessageProcessor,
  storage: Storage,
  clock: Clock,
  options: ManagerOptions,
): Promise<KillableServer> {
  // What a dead server left is taken over at once: its lease counts as over.
  for (const { replica } of await storage.listReplicas()) await storage.deregister(replica);
  let killed = false;
  const never = new Promise<never>(() => {});
  const reached = new Proxy(storage, {
    get(target, name) {
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: unknown[]) => {
        if (killed) return never;
        const result: unknown = Reflect.apply(member, target, args);
        // An answer that was under way when the server was killed reaches nobody either.
        return result instanceof Promise ? result.then((value) => (killed ? never : value)) : result;
      };
    },
  });
  const time: Clock = {
    now: () => clock.now(),
    monotonic: () => clock.monotonic(),
    after: (ms, callback) =>
      clock.after(ms, () => {
        if (!killed) callback();
      }),
  };
  const manager = await createTaskManager(processor, reached, options, { clock: time });
  return {
    manager,
    kill: () => {
      killed = true;
    },
  };
}
