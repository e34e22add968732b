/**
 * Bytes that may be held at once. A budget may be a part of another one, as those of a connection are of those of the
 * process: what is taken here is taken there too.
 *
 * Invariant: `held` is what was taken and not yet given back, here and in the parts. Every take is followed by exactly
 * one give of the same bytes.
 */
export class ByteBudget {
  readonly bytesMax: number;
  readonly #whole: ByteBudget | undefined;
  #held = 0;

  constructor(bytesMax: number, whole?: ByteBudget) {
    this.bytesMax = bytesMax;
    this.#whole = whole;
  }

  get held(): number {
    return this.#held;
  }

  /**
   * The budget that has no room for these bytes, this one or the one that it is a part of; undefined if both have room.
   * Bytes beyond a whole budget have room in it while it holds nothing else, since they would never have any otherwise.
   */
  fullFor(bytes: number): ByteBudget | undefined {
    if (this.#held > 0 && this.#held + bytes > this.bytesMax) return this;
    return this.#whole?.fullFor(bytes);
  }

  /** The budget of these that is this one or the one that it is a part of. */
  awaitedIn(awaited: ReadonlySet<ByteBudget>): ByteBudget | undefined {
    return awaited.has(this) ? this : this.#whole?.awaitedIn(awaited);
  }

  /** Takes bytes. The caller asks `fullFor` in the same step, or knows why these bytes are let through. */
  take(bytes: number): void {
    this.#held += bytes;
    this.#whole?.take(bytes);
  }

  give(bytes: number): void {
    this.#held -= bytes;
    this.#whole?.give(bytes);
  }
}
