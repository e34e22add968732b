/**
 * Items in an order, in one array. Finding a place takes a binary search; inserting and removing moves the items behind
 * it. So an order should put at the end what comes and goes most.
 */
export class SortedList<T> {
  readonly #items: T[] = [];
  readonly #compare: (a: T, b: T) => number;

  /** `compare` must tell any two items of the list apart. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get length(): number {
    return this.#items.length;
  }

  /** The item at an index, which must be one of the list. */
  at(index: number): T {
    return this.#items[index] as T;
  }

  /** A copy of the items with indexes from `start` up to but not including `end`. */
  slice(start?: number, end?: number): T[] {
    return this.#items.slice(start, end);
  }

  insert(item: T): void {
    const last = this.#items.at(-1);
    if (last === undefined || this.#compare(last, item) < 0) {
      this.#items.push(item);
    } else {
      this.#items.splice(
        this.firstIndex((other) => this.#compare(other, item) > 0),
        0,
        item,
      );
    }
  }

  /** Must be called before anything changes that the order depends on. */
  delete(item: T): void {
    if (this.#items.at(-1) === item) {
      this.#items.pop();
      return;
    }
    const index = this.firstIndex((other) => this.#compare(other, item) >= 0);
    if (this.#items[index] === item) {
      this.#items.splice(index, 1);
    }
  }

  /**
   * The index of the first item that is behind a place, by a test that is false for items up to it and true for all
   * others.
   */
  firstIndex(isBehind: (item: T) => boolean): number {
    let low = 0;
    let high = this.#items.length;
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (isBehind(this.at(middle))) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
}
