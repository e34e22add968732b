import type { Clock } from "../../runtime/clock.ts";
import { pressedStallMs, stallMs, stallRoundMs } from "./load-limits.ts";

/** An answer that can be ended against its client's will. */
export interface CuttableAnswer {
  /** Ends the answer: over HTTP/1.1 with its connection, over HTTP/2 with its stream alone. */
  cut(): void;
}

/**
 * Cuts answers whose clients take nothing. One timer looks after all of them, and runs only while there are some: a
 * timer of its own would cost a small answer more than its write.
 */
export class StalledAnswers {
  readonly #clock: Clock;
  readonly #isPressed: () => boolean;
  /** The round in which the client of each began to let bytes wait, or took some last. In the order of the rounds. */
  readonly #since = new Map<CuttableAnswer, number>();
  #round = 0;
  #runs = false;

  /** `isPressed`: whether others wait for the room that the answers hold. */
  constructor(clock: Clock, isPressed: () => boolean = () => false) {
    this.#clock = clock;
    this.#isPressed = isPressed;
  }

  /** Bytes wait for the client of this answer from now on, or again after it took some. */
  begin(answer: CuttableAnswer): void {
    if (this.#since.get(answer) === this.#round) return;
    // So that the map stays in the order of the rounds.
    this.#since.delete(answer);
    this.#since.set(answer, this.#round);
    if (!this.#runs) this.#schedule();
  }

  /** Its client has taken all, or is gone. */
  end(answer: CuttableAnswer): void {
    this.#since.delete(answer);
  }

  #schedule(): void {
    this.#runs = true;
    this.#clock.after(stallRoundMs, () => this.#look());
  }

  #look(): void {
    this.#runs = false;
    this.#round++;
    const last = this.#round - (this.#isPressed() ? pressedStallMs : stallMs) / stallRoundMs;
    for (const [answer, since] of this.#since) {
      // In the order in which they began.
      if (since >= last) break;
      this.#since.delete(answer);
      answer.cut();
    }
    if (this.#since.size > 0) this.#schedule();
  }
}
