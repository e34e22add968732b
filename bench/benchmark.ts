import type { Ratio } from "./measure.ts";

export interface Benchmark {
  readonly name: string;
  readonly about: string;
  run(settings: Settings): Promise<readonly Row[]>;
}

export interface Settings {
  /** Fewer rounds and less work: shows that everything runs, not how fast. */
  readonly quick: boolean;
}

/** One line of the table. */
export interface Row {
  readonly case: string;
  readonly figure: string;
  /** What else was measured beside it. */
  readonly beside?: string;
  /** Against what, how it compares, and how it should. */
  readonly compared?: {
    readonly to: string;
    readonly ratio: Ratio;
    /**
     * The same by the processor time of the process under test alone, which other processes on the machine and a slow
     * caller hardly touch.
     */
    readonly byCpu?: Ratio;
  };
  /** Where it stands in the chart of the cost per event. */
  readonly point?: { readonly line: string; readonly events: number; readonly us: number };
  /** On the ratio, or on `value` where that is given. */
  readonly target?:
    | { readonly atMost: number; readonly value?: number; readonly unit?: string }
    | { readonly atLeast: number };
}

/** Whether a row is as it should be; undefined if nothing is asked of it. */
export function isMet({ target, compared }: Row): boolean | undefined {
  if (target === undefined) return undefined;
  if ("atLeast" in target) return compared !== undefined && compared.ratio.value >= target.atLeast;
  const value = target.value ?? compared?.ratio.value;
  return value !== undefined && value <= target.atMost;
}
