import { strict as assert } from "node:assert";
import type { Retention, Storage } from "../../storage/storage.ts";
import type { StorageError } from "../../storage/storage-error.ts";
import type { Fault, OpenUnderFault, StorageUnderFault } from "../conformance-case.ts";

/** The ways in which a command can fail. */
export type FaultKind = Pick<Fault, "effect" | "crash"> & { readonly name: string };

export const faultKinds: readonly FaultKind[] = [
  { name: "a command isn't executed", effect: "before", crash: false },
  { name: "the answer of a command is lost", effect: "after", crash: false },
  { name: "the process ends before a command", effect: "before", crash: true },
  { name: "the process ends after a command", effect: "after", crash: true },
];

/**
 * Two of them that cover the others. Ending before a command leaves the same as ending after the command before. A lost
 * answer is noticed by a process that goes on.
 */
export const usualKinds: readonly FaultKind[] = faultKinds.filter(
  ({ effect, crash }) => crash === (effect === "before"),
);

/**
 * Runs at the same time, each with its own fault. They spend nearly all their time waiting for a database. More would
 * hold too many of the largest entries at once.
 */
const lanes = 8;
/** More commands than any run needs. */
const commandsMax = 2000;
/** Tries of one call: one fails because of the fault, and one more if the fault was in background work. */
const triesMax = 4;
const retention: Retention = { conversationTtlMs: 3_600_000, interruptedTtlMs: 86_400_000 };

/** The result of a call, or its error. */
export type Once<T> =
  | { readonly result: T; readonly error?: undefined }
  | { readonly result?: undefined; readonly error: StorageError };

/** One run of calls on a storage with a fault. */
export class FaultRun {
  readonly #faulted: StorageUnderFault;
  readonly #crash: boolean;
  #reopened: Storage | undefined;

  constructor(faulted: StorageUnderFault, crash: boolean) {
    this.#faulted = faulted;
    this.#crash = crash;
  }

  /** The storage with the fault. After a crash, its data opened again. */
  get storage(): Storage {
    return this.#reopened ?? this.#faulted.storage;
  }

  /** Commands are counted from now on, so one may fail. */
  arm(): void {
    this.#faulted.arm();
  }

  /** Makes a call once. It may fail only as unavailable. After a crash the next call uses the storage opened again. */
  async once<T>(call: (storage: Storage) => Promise<T>): Promise<Once<T>> {
    try {
      return { result: await call(this.storage) };
    } catch (thrown) {
      const error = thrown as StorageError;
      assert.equal(error.name, "StorageError", `${error.name}: ${error.message}`);
      assert.equal(error.code, "unavailable", error.message);
      assert.ok(this.#faulted.struck, `It failed without a fault: ${error.message}`);
      if (this.#crash) {
        await this.end();
      }
      return { error };
    }
  }

  /** Repeats a call until it succeeds. `open`: whether an earlier try may have been executed. */
  async sure<T>(call: (storage: Storage) => Promise<T>): Promise<{ readonly result: T; readonly open: boolean }> {
    let open = false;
    for (let tries = 1; tries <= triesMax; tries++) {
      const { result, error } = await this.once(call);
      if (error === undefined) {
        return { result: result as T, open };
      }
      open ||= error.outcome === "unknown";
    }
    throw new Error(`A call failed ${triesMax} times, with one fault`);
  }

  /** The storage as another process opens it, without a fault. */
  async end(): Promise<Storage> {
    if (this.#reopened === undefined) {
      this.#reopened = await this.#faulted.reopen();
      await this.#reopened.setRetention(retention);
    }
    return this.#reopened;
  }
}

/** Repeats a run, each time with the fault one command later, until the fault comes after the end of the run. */
export async function atEveryCommand(
  open: OpenUnderFault,
  kind: Omit<FaultKind, "name">,
  live: (run: FaultRun) => Promise<void>,
): Promise<void> {
  const ends = await Promise.allSettled(
    Array.from({ length: lanes }, async (_, lane) => {
      let step = lane;
      while (await liveOnce(open, { step, effect: kind.effect, crash: kind.crash }, live)) {
        step += lanes;
        assert.ok(step < commandsMax, "The commands have no end");
      }
      return step;
    }),
  );
  const steps = ends.map((end) => {
    if (end.status === "rejected") {
      throw end.reason;
    }
    return end.value;
  });
  assert.ok(steps[0] !== 0, "The fault never happened: the hook counts no commands");
}

/** False if the fault comes after the end. */
async function liveOnce(open: OpenUnderFault, fault: Fault, live: (run: FaultRun) => Promise<void>): Promise<boolean> {
  await using faulted = await open(fault);
  await faulted.storage.setRetention(retention);
  try {
    await live(new FaultRun(faulted, fault.crash));
  } catch (error) {
    const where = `With a fault ${fault.effect} command ${fault.step}${fault.crash ? ", a crash" : ""}`;
    throw new Error(`${where}: ${error instanceof Error ? error.message : String(error)}`, { cause: error });
  }
  return faulted.struck;
}
