/** Requests up to this size have too few names for their costs to matter. */
export const freeNamesBytes = 16 * 1024;

// How V8 stores objects.
/** An object with more members becomes a table. */
const smallMembersMax = 12;
/** Indexes are stored in an array with room for those that are skipped, unless it would have a larger gap ... */
const arrayGapMax = 1024;
/** ... or more elements than this, of which ... */
const sparseArrayMax = 5000;
/** ... so many or more are skipped for each one that is there. */
const denseGapMax = 24;

/** What an object costs beside its value, in values: an empty one takes as much memory as two strings. */
export const objectCost = 1;

/** Skipped indexes that take as much memory as a value. */
const indexesOfValue = 8;
/** A name that is an index. What is larger lies behind a large gap. */
const index = /^(?:0|[1-9]\d{0,8})$/;

/**
 * What the names of free JSON cost, counted in values. Most names cost little. But names that are all different, and
 * objects with many members, cost as much as several values. And an object with a member such as "1000" takes memory
 * for a thousand members, each time that it is copied.
 */
export class NameCosts {
  readonly #known = new Set<string>();

  /** The cost of a name, in an object with so many members before it. */
  of(name: string, membersBefore: number): number {
    if (!this.#known.has(name)) {
      this.#known.add(name);
      return 2;
    }
    return membersBefore >= smallMembersMax ? 1 : 0;
  }
}

/** The names of one object that are indexes. */
export class IndexNames {
  #indexes: number[] | undefined;

  add(name: string): void {
    if (!index.test(name)) return;
    this.#indexes ??= [];
    this.#indexes.push(Number(name));
  }

  /**
   * The cost of the gaps between them, in the order in which the engine lists them. `merged`: the object has others as
   * well, which may lie in the large gaps.
   */
  cost(merged = false): number {
    if (this.#indexes === undefined) return 0;
    let before = -1;
    let skipped = 0;
    let gapMax = arrayGapMax;
    for (const at of this.#indexes.sort((a, b) => a - b)) {
      const gap = at - before - 1;
      before = at;
      if (!merged && (gap >= arrayGapMax || at > sparseArrayMax)) gapMax = denseGapMax;
      skipped += Math.min(gap, gapMax);
    }
    return Math.ceil(skipped / indexesOfValue);
  }
}
