import type { Clock } from "../../runtime/clock.ts";

/** An answer that can be ended against its client's will. */
export interface CuttableAnswer {
  /** Ends the answer: over HTTP/1.1 with its connection, over HTTP/2 with its stream alone. */
  cut(): void;
}

/**
 * A client that takes nothing for this time while bytes wait for it is cut: longer than any pause of a network that
 * heals, and much longer than a reader needs for 64 KiB.
 */
export const stallMs = 60_000;
/** How often it is looked. An answer is cut up to this much later. */
const roundMs = 10_000;

/**
 * Cuts answers whose clients take nothing. One timer looks after all of them, and runs only while there are some: a
 * timer of its own would cost a small answer more than its write.
 */
export class StalledAnswers {
  readonly #clock: Clock;
  /** The round in which the client of each began to let bytes wait. */
  readonly #since = new Map<CuttableAnswer, number>();
  #round = 0;
  #runs = false;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  /** Bytes wait for the client of this answer from now on. */
  begin(answer: CuttableAnswer): void {
    // So that the map stays in the order of the rounds.
    this.#since.delete(answer);
    this.#since.set(answer, this.#round);
    if (!this.#runs) this.#schedule();
  }

  /** Its client has taken them, or is gone. */
  end(answer: CuttableAnswer): void {
    this.#since.delete(answer);
  }

  #schedule(): void {
    this.#runs = true;
    this.#clock.after(roundMs, () => this.#look());
  }

  #look(): void {
    this.#runs = false;
    this.#round++;
    const last = this.#round - stallMs / roundMs;
    for (const [answer, since] of this.#since) {
      // In the order in which they began.
      if (since >= last) break;
      this.#since.delete(answer);
      answer.cut();
    }
    if (this.#since.size > 0) this.#schedule();
  }
}
