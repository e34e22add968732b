/** What one run of a variant measured, by metric. */
export type Sample = Readonly<Record<string, number>>;

export interface Variant {
  readonly name: string;
  run(): Promise<Sample>;
}

/**
 * Runs every variant once a round, each round in another order, after warm-up rounds that aren't kept. On a noisy
 * machine what disturbs one variant of a round disturbs its neighbours too, so that ratios are far steadier than the
 * figures themselves. On a machine so busy that this takes more than a minute there are fewer rounds, though never
 * fewer than `roundsMin`.
 */
export async function measureRounds(variants: readonly Variant[], count: number, warmUps = 1): Promise<Samples> {
  const deadline = performance.now() + budgetMs;
  const samples = new Map<string, Sample[]>(variants.map(({ name }) => [name, []]));
  for (let round = -warmUps; round < count; round++) {
    if (round >= roundsMin && performance.now() > deadline) break;
    for (let place = 0; place < variants.length; place++) {
      const variant = variants[(place + round + warmUps) % variants.length];
      const sample = await variant?.run();
      if (variant !== undefined && sample !== undefined && round >= 0) samples.get(variant.name)?.push(sample);
    }
  }
  return new Samples(samples);
}

const budgetMs = 60_000;
const roundsMin = 3;

/** The samples of all variants; `samples[n]` of each comes from round n. */
export class Samples {
  readonly #samples: ReadonlyMap<string, readonly Sample[]>;

  constructor(samples: ReadonlyMap<string, readonly Sample[]>) {
    this.#samples = samples;
  }

  median(name: string, metric: string): number {
    return median(this.#values(name, metric));
  }

  /** The median of the ratios within the rounds, and their quartiles. */
  ratio(name: string, base: string, metric: string): Ratio {
    const bases = this.#values(base, metric);
    const ratios = this.#values(name, metric).map((value, round) => value / (bases[round] ?? Number.NaN));
    return ratioOf(ratios);
  }

  #values(name: string, metric: string): readonly number[] {
    const samples = this.#samples.get(name);
    if (samples === undefined) throw new Error(`There is no variant "${name}"`);
    return samples.map((sample) => sample[metric] ?? Number.NaN);
  }
}

export interface Ratio {
  readonly value: number;
  readonly low: number;
  readonly high: number;
}

/** The median of ratios, and their quartiles. */
export function ratioOf(ratios: readonly number[]): Ratio {
  return { value: median(ratios), low: quantile(ratios, 0.25), high: quantile(ratios, 0.75) };
}

export function ratioText({ value, low, high }: Ratio, digits = 2): string {
  return `${value.toFixed(digits)} (${low.toFixed(digits)}–${high.toFixed(digits)})`;
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5);
}

export function quantile(values: readonly number[], part: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  const place = (sorted.length - 1) * part;
  const below = sorted[Math.floor(place)] ?? Number.NaN;
  const above = sorted[Math.ceil(place)] ?? Number.NaN;
  return below + (above - below) * (place - Math.floor(place));
}
