import type { TaskKey } from "../domain/scope.ts";
import { backoffMs } from "../runtime/backoff.ts";
import { type Clock, sleep } from "../runtime/clock.ts";
import type { AppendResult, Storage, TaskAppend } from "../storage/storage.ts";
import { StorageError } from "../storage/storage-error.ts";
import { appendBackoff } from "./limits.ts";

/**
 * Sends an append until its outcome is known: committed or refused. If a try before had an unknown outcome, a refusal
 * may be the result of that very try. So the batch is looked for in the log then.
 *
 * Throws the last StorageError when the time is over or another try cannot help. Unless `outcome` was "none" on every
 * try, the batch may still appear in the log later: no decision may assume either. Throws the signal's reason, instead
 * of another try, once the signal is aborted. The signal is asked for only before another try, since it costs more to
 * make than most appends need for the rest.
 */
export async function sendAppend(
  storage: Storage,
  key: TaskKey,
  append: TaskAppend,
  options: { readonly clock: Clock; readonly retryMs: number; readonly signal?: () => AbortSignal },
): Promise<AppendResult> {
  const { clock, retryMs } = options;
  const deadline = clock.monotonic() + retryMs;
  let open = false;
  for (let attempt = 1; ; attempt++) {
    try {
      const result = await storage.appendTask(key, append);
      if (!open || result.outcome === "committed") return result;
      // Awaited here, so that a failed read is followed by another try. It says nothing about the append.
      return (await isInLog(storage, key, append)) ? await committedEarlier(storage, key, append) : result;
    } catch (error) {
      if (!(error instanceof StorageError)) throw error;
      open ||= error.outcome === "unknown";
      if (!error.retryable || clock.monotonic() >= deadline)
        throw open && error.outcome === "none" ? asUnknown(error) : error;
    }
    await sleep(clock, backoffMs(appendBackoff, attempt), options.signal?.());
  }
}

/** Whether the batch is in the log at its place. One entry proves the whole batch, because an append is atomic. */
async function isInLog(storage: Storage, key: TaskKey, append: TaskAppend): Promise<boolean> {
  const [entry] = await storage.readTask(key, append.after.head, 1);
  return entry?.batch === append.batch.id;
}

/** The result of an append whose try succeeded without an answer. The commands are those that are open now. */
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
