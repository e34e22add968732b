import fc from "fast-check";

/** Numbers that depend on a seed alone: the same input is made again from its seed and its index. */
export class Random {
  #state: number;

  constructor(seed: number, index: number) {
    this.#state = (Math.imul(seed, 0x9e3779b1) ^ Math.imul(index + 1, 0x85ebca6b)) >>> 0;
    // The first numbers of neighboring seeds are alike.
    for (let skipped = 0; skipped < 4; skipped++) this.next();
  }

  /** From 0 up to 1. The generator is mulberry32. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let mixed = this.#state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  /** From 0 to `end`, without `end`. */
  below(end: number): number {
    return Math.floor(this.next() * end);
  }

  chance(share: number): boolean {
    return this.next() < share;
  }

  pick<T>(list: readonly T[]): T {
    const picked = list[this.below(list.length)];
    if (picked === undefined) throw new Error("There is nothing to pick");
    return picked;
  }

  bytes(length: number): Uint8Array<ArrayBuffer> {
    return Uint8Array.from({ length }, () => this.below(256));
  }
}

/** Values of every type, made once for a seed: to make them is slower than to send an input. */
export interface Values {
  /** Without lone surrogates, at most 60 bytes. */
  readonly texts: readonly string[];
  readonly objects: readonly Record<string, unknown>[];
  readonly free: readonly unknown[];
}

export function valuesOf(seed: number): Values {
  const text = fc.oneof(fc.string({ maxLength: 15 }), fc.string({ unit: "binary", minLength: 1, maxLength: 15 }));
  const free = fc.jsonValue({ maxDepth: 3, stringUnit: "grapheme" });
  const sample = <T>(arbitrary: fc.Arbitrary<T>) => fc.sample(arbitrary, { seed, numRuns: 200 });
  return {
    texts: sample(text),
    objects: sample(fc.dictionary(fc.string({ maxLength: 6 }), free, { maxKeys: 4 })),
    free: sample(free),
  };
}
