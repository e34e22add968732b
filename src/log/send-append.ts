import type { TaskKey } from "../domain/scope.ts";
import { backoffMs } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { AppendResult, Storage, TaskAppend } from "../storage/storage.ts";
import { StorageError } from "../storage/storage-error.ts";
import { appendBackoff } from "./limits.ts";

/**
 * Sends an append until its outcome is known. Final are only "committed" and a refusal; a refusal after an open try is
 * settled by looking for the batch in the log, since the open try may have been the one that made the condition false.
 *
 * Throws the last StorageError when the time is over or trying again can't help. Unless `outcome` is "none" on every
 * try, the batch may still turn up in the log then: nobody may decide anything on either assumption. Throws the
 * signal's reason once it is aborted, instead of trying again.
 */
export async function sendAppend(
  storage: Storage,
  key: TaskKey,
  append: TaskAppend,
  options: { readonly clock: Clock; readonly retryMs: number; readonly signal?: AbortSignal },
): Promise<AppendResult> {
  const { clock, retryMs, signal } = options;
  const deadline = clock.now() + retryMs;
  let open = false;
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await storage.appendTask(key, append);
      if (!open || result.outcome === "committed") return result;
      // Awaited here: a read that fails is tried again like the append; it says nothing about it.
      return (await isInLog(storage, key, append)) ? await committedEarlier(storage, key, append) : result;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      open ||= error.outcome === "unknown";
      if (!error.retryable || clock.now() >= deadline)
        throw open && error.outcome === "none" ? asUnknown(error) : error;
    }
    await sleep(clock, backoffMs(appendBackoff, attempt), signal);
  }
}

/**
 * Whether the batch stands in the log where it was meant to. Dense sequences make one entry proof of the whole batch:
 * an append is atomic.
 */
async function isInLog(storage: Storage, key: TaskKey, append: TaskAppend): Promise<boolean> {
  const [entry] = await storage.readTask(key, append.after.head, 1);
  return entry?.batch === append.batch.id;
}

/** The result of an append that had succeeded on a try whose answer was lost: its requests are those open now. */
async function committedEarlier(storage: Storage, key: TaskKey, append: TaskAppend): Promise<AppendResult> {
  const stored = await storage.getTask(key);
  return {
    outcome: "committed",
    head: append.after.head + BigInt(append.batch.entries.length),
    watchers: [],
    commands: stored?.commands ?? [],
  };
}

function asUnknown(error: StorageError): StorageError {
  return new StorageError(error.code, error.message, { outcome: "unknown", cause: error });
}
