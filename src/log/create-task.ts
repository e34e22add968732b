import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { PlacedEntry } from "../domain/entry.ts";
import { emptyFold, evolve, type TaskFold } from "../domain/fold.ts";
import type { TaskKey } from "../domain/scope.ts";
import type { Clock } from "../runtime/clock.ts";
import type { AppendResult, DuplicateClaim, MessageClaim, Storage } from "../storage/storage.ts";
import { StorageError } from "../storage/storage-error.ts";
import { storeEntry } from "./entry-codec.ts";
import { createAnswerMs, createRetryMs } from "./limits.ts";
import { sendAppend } from "./send-append.ts";
import { headerOf, pointersOf } from "./task-writer.ts";

export type CreateResult =
  | {
      readonly outcome: "created";
      readonly fold: TaskFold;
      readonly batch: string;
      readonly created: PlacedEntry;
      /** The message id was used before with other content. */
      readonly otherContent: boolean;
    }
  /** The task exists already: another send created it from the same claim. */
  | { readonly outcome: "exists" }
  | { readonly outcome: "duplicate"; readonly claim: DuplicateClaim }
  | { readonly outcome: "reused" }
  /**
   * The task may exist, or come to exist: no try was answered in time. `settled` resolves when no call of this creation
   * is open any more; it never rejects.
   */
  | { readonly outcome: "unknown"; readonly error: unknown; readonly settled: Promise<unknown> };

/**
 * Makes a task durable by one append: its first entry, its conversation and, if given, its message's claim. Throws the
 * StorageError of an append that certainly had no effect.
 */
export async function createTask(
  storage: Storage,
  key: TaskKey,
  entry: Entry,
  options: {
    readonly contextId: string;
    readonly claim?: MessageClaim;
    readonly owner: { readonly replica: string; readonly fence: bigint };
    readonly clock: Clock;
    readonly newId: () => string;
  },
): Promise<CreateResult> {
  const { contextId, claim, owner, clock, newId } = options;
  const fold = emptyFold(key.taskId);
  const batch = newId();
  const { encoded, stored } = storeEntry(entry, { taskId: key.taskId, contextId });
  const late = new AbortController();
  const { promise: answered, resolve, reject } = Promise.withResolvers<AppendResult>();
  const cancelTimer = clock.after(createAnswerMs, () => {
    const error = notInTime();
    late.abort(error);
    reject(error);
  });
  const sent = sendAppend(
    storage,
    key,
    {
      after: { head: 0n, batch: "", fence: 0n },
      batch: { id: batch, entries: [encoded] },
      header: { ...headerOf([{ entry: stored }], fold), ...owner },
      messages: pointersOf([{ entry: stored }]),
      handled: [],
      create: claim === undefined ? { contextId } : { contextId, claim },
    },
    { clock, retryMs: createRetryMs, signal: () => late.signal },
  );
  sent.then(resolve, reject);
  let result: AppendResult;
  try {
    result = await answered;
  } catch (error) {
    if (error instanceof StorageError && error.outcome === "none") throw error;
    return { outcome: "unknown", error, settled: Promise.allSettled([sent]) };
  } finally {
    cancelTimer();
  }
  switch (result.outcome) {
    case "committed": {
      evolve(fold, 1n, stored);
      const created = { sequence: 1n, entry: stored, bytes: encoded.byteLength };
      return { outcome: "created", fold, batch, created, otherContent: result.otherContent ?? false };
    }
    case "duplicate":
      return { outcome: "duplicate", claim: result.claim };
    case "reused":
      return result;
    case "lost":
    case "gone":
      return { outcome: "exists" };
    default:
      return result satisfies never;
  }
}

function notInTime(): StorageError {
  return new StorageError("unavailable", `The storage did not answer a creation within ${createAnswerMs} ms`, {
    outcome: "unknown",
  });
}
