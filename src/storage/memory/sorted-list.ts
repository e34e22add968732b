/** Items in one chunk at most. Inserting and removing moves the items of one chunk. */
const chunkItemsMax = 1024;

/**
 * Items in an order, in chunks. Finding, inserting and removing an item takes a binary search and a walk over the
 * lengths of the chunks, so that a list of a million items costs little more than one of a thousand.
 */
export class SortedList<T> {
  /** No chunk is empty. */
  #chunks: T[][] = [];
  readonly #compare: (a: T, b: T) => number;
  #length = 0;

  /** `compare` must tell any two items of the list apart. */
  constructor(compare: (a: T, b: T) => number) {
    this.#compare = compare;
  }

  get length(): number {
    return this.#length;
  }

  /** The item at an index; undefined beyond the end. */
  at(index: number): T | undefined {
    let rest = index;
    for (const chunk of this.#chunks) {
      if (rest < chunk.length) {
        return chunk[rest];
      }
      rest -= chunk.length;
    }
    return undefined;
  }

  /** A copy of the items with indexes from `start` up to but not including `end`. */
  slice(start = 0, end = this.#length): T[] {
    const parts: T[][] = [];
    let first = 0;
    for (const chunk of this.#chunks) {
      if (first + chunk.length > start && first < end) {
        parts.push(chunk.slice(Math.max(0, start - first), end - first));
      }
      first += chunk.length;
    }
    return parts.flat();
  }

  /** The items in order. The list must not change meanwhile. */
  *[Symbol.iterator](): Iterator<T> {
    for (const chunk of this.#chunks) {
      yield* chunk;
    }
  }

  insert(item: T): void {
    this.#length += 1;
    const last = this.#chunks.at(-1);
    if (last === undefined || this.#compare(last[last.length - 1] as T, item) < 0) {
      // Full chunks stay full, since most orders grow at their end.
      if (last === undefined) {
        // Not by `push`, which makes room for many: most lists are short.
        this.#chunks = [[item]];
      } else if (last.length === chunkItemsMax) {
        this.#chunks.push([item]);
      } else {
        last.push(item);
      }
      return;
    }
    const chunk = this.#chunkOf(item);
    const items = this.#chunks[chunk] as T[];
    items.splice(this.#placeIn(items, item), 0, item);
    if (items.length > chunkItemsMax) {
      this.#chunks.splice(chunk + 1, 0, items.splice(chunkItemsMax / 2));
    }
  }

  /** Must be called before anything changes that the order depends on. */
  delete(item: T): void {
    const last = this.#chunks.at(-1);
    if (last !== undefined && last.length > 1 && last[last.length - 1] === item) {
      last.pop();
      this.#length -= 1;
      return;
    }
    const chunk = this.#chunkOf(item);
    const items = this.#chunks[chunk];
    const at = items === undefined ? -1 : this.#placeIn(items, item);
    if (items?.[at] === item) {
      items.splice(at, 1);
      this.#length -= 1;
      // Small chunks are joined, so that the number of chunks stays small.
      const next = this.#chunks[chunk + 1];
      if (items.length === 0) {
        this.#chunks.splice(chunk, 1);
      } else if (next !== undefined && items.length + next.length <= chunkItemsMax / 2) {
        this.#chunks.splice(chunk, 2, items.concat(next));
      }
    }
  }

  /**
   * The index of the first item that is behind a place, by a test that is false for items up to it and true for all
   * others.
   */
  firstIndex(isBehind: (item: T) => boolean): number {
    const chunk = lowest(this.#chunks, (items) => isBehind(items[items.length - 1] as T));
    let index = lowest(this.#chunks[chunk] ?? [], isBehind);
    for (let before = 0; before < chunk; before++) {
      index += (this.#chunks[before] as T[]).length;
    }
    return index;
  }

  /** The first chunk whose last item is not before an item. It doesn't exist if all are before it. */
  #chunkOf(item: T): number {
    let low = 0;
    let high = this.#chunks.length;
    // Most changes are near the end of an order. The items there were used lately, and are in the processor's cache.
    let middle = high - 2;
    while (low < high) {
      const items = this.#chunks[Math.max(0, middle)] as T[];
      if (this.#compare(items[items.length - 1] as T, item) < 0) {
        low = Math.max(0, middle) + 1;
      } else {
        high = Math.max(0, middle);
      }
      middle = (low + high) >>> 1;
    }
    return low;
  }

  /** The index of the first item of a chunk that is not before an item. From the end, for the same reason. */
  #placeIn(items: readonly T[], item: T): number {
    let low = 0;
    let high = items.length;
    for (let step = 1; low < high; step *= 2) {
      const probe = Math.max(low, high - step);
      if (this.#compare(items[probe] as T, item) < 0) {
        low = probe + 1;
        break;
      }
      high = probe;
    }
    while (low < high) {
      const middle = (low + high) >>> 1;
      if (this.#compare(items[middle] as T, item) < 0) {
        low = middle + 1;
      } else {
        high = middle;
      }
    }
    return low;
  }
}

/** The index of the first item that passes a test, which fails for the items before it and passes for those after. */
function lowest<T>(items: readonly T[], passes: (item: T) => boolean): number {
  let low = 0;
  let high = items.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if (passes(items[middle] as T)) {
      high = middle;
    } else {
      low = middle + 1;
    }
  }
  return low;
}
