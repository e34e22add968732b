import type { MongoClient, ServerDescriptionChangedEvent } from "mongodb";
import { StorageError } from "../storage-error.ts";
import { attemptsMax } from "./limits.ts";
import type { OpenedMongo } from "./open.ts";

/**
 * Keeps reads from going back behind what was acknowledged. A primary that was elected just now serves reads of
 * "majority" from before writes that its predecessor has acknowledged, until it has committed a write of its own. A
 * list or an old head does not show that it is behind, so no call can tell.
 *
 * The shortest history: (a write is acknowledged, its primary ends, another one is elected, a read). So the first call
 * after each election waits for a linearizable read, which commits such a write, and a read under way is made again.
 *
 * The driver knows a primary before it sends it a command, and says so by an event. Behind `mongos` there are no such
 * events; there only what `readLatest` reads is the latest.
 *
 * Invariant: a read of "majority" that began while `currentTerm` was a number, and ended while it was the same one,
 * shows all that this primary and those before it have acknowledged. Each command of it went to that primary, after the
 * primary had committed a write of its own. So such a read needs no second one to find out that a record is missing.
 */
export class Primaries {
  readonly #client: MongoClient;
  readonly #readLatest: () => Promise<unknown>;
  /** Grows with each primary that the driver finds. */
  #term = 0;
  #settledTerm = -1;
  #primary: string | undefined;
  #settling: Promise<void> | undefined;
  readonly #electionsReported: boolean;

  /** `readLatest` is some linearizable read. */
  constructor(
    { client, electionsReported }: Pick<OpenedMongo, "client" | "electionsReported">,
    readLatest: () => Promise<unknown>,
  ) {
    this.#client = client;
    this.#electionsReported = electionsReported;
    this.#readLatest = readLatest;
    client.on("serverDescriptionChanged", this.#note);
  }

  get term(): number {
    return this.#term;
  }

  /** Whether the present primary has committed a write of its own. */
  get settled(): boolean {
    return this.#settledTerm === this.#term;
  }

  /** The term, if reads of "majority" show the latest in it; see the invariant. */
  get currentTerm(): number | undefined {
    return this.#electionsReported && this.settled ? this.#term : undefined;
  }

  /** Resolves when it has. All that wait share one read. */
  settle(): Promise<void> {
    this.#settling ??= this.#settle().finally(() => {
      this.#settling = undefined;
    });
    return this.#settling;
  }

  close(): void {
    this.#client.off("serverDescriptionChanged", this.#note);
  }

  async #settle(): Promise<void> {
    for (let attempt = 1; !this.settled; attempt++) {
      if (attempt > attemptsMax) {
        throw primaryChanges();
      }
      const term = this.#term;
      await this.#readLatest();
      this.#settledTerm = term;
    }
  }

  readonly #note = ({ newDescription }: ServerDescriptionChangedEvent): void => {
    const { type, address, electionId } = newDescription;
    const primary = `${address} ${electionId?.toHexString()}`;
    if (type === "RSPrimary" && primary !== this.#primary) {
      this.#primary = primary;
      this.#term += 1;
    }
  };
}

export function primaryChanges(): StorageError {
  return new StorageError("unavailable", "MongoDB's primary changes too often at once");
}
