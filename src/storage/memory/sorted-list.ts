/**
 * Items in an order, in one array: finding a place takes a binary search, inserting and removing a move of what is
 * behind it. So an order should put at the end what comes and goes most.
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

  /** In order; not to be changed. */
  get items(): readonly T[] {
    return this.#items;
  }

  insert(item: T): void {
    this.#items.splice(
      this.firstIndex((other) => this.#compare(other, item) > 0),
      0,
      item,
    );
  }

  /** Must be called before anything changes that the order depends on. */
  delete(item: T): void {
    const index = this.firstIndex((other) => this.#compare(other, item) >= 0);
    if (this.#items[index] === item) {
      this.#items.splice(index, 1);
    }
  }

  /** Takes that many items from the beginning. */
  removeFirst(count: number): readonly T[] {
    return this.#items.splice(0, count);
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
      if (isBehind(this.#items[middle] as T)) {
        high = middle;
      } else {
        low = middle + 1;
      }
    }
    return low;
  }
}
