import { randomOf } from "../../src/conformance/random.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { StorageError } from "../../src/storage/storage-error.ts";

export { randomOf };

/**
 * The methods that can be made to fail: all that answer with a promise. `watch` and the end of the storage are left
 * alone.
 */
export type FaultyMethod = Exclude<keyof Storage & string, "traits" | "watch">;

/** What happens to a call. */
export type Fault =
  /** Fails before it executes: "unavailable", nothing changed. */
  | "unavailable"
  /** Executes, and its answer is lost: "unavailable", outcome unknown. */
  | "executed-unknown"
  /** Never executes, and nobody can know: "unavailable", outcome unknown. */
  | "lost-unknown"
  /** Waits for `release` before it executes. */
  | "held"
  /** Executes, and waits for `release` before it answers. */
  | "answer-held"
  /** Errors that trying again doesn't help; nothing changed. */
  | "missing"
  | "lost"
  | "invalid"
  | "corrupt"
  | "closed"
  /** A bug: an error that is no StorageError, before the call executes. */
  | "broken"
  /** The same after it has executed. */
  | "executed-broken";

/** One line of a script: the fault of the next so many calls of these methods, after some that pass. */
export interface FaultRule {
  /** Absent: all. */
  readonly methods?: FaultyMethod | readonly FaultyMethod[];
  readonly fault: Fault;
  /** Calls that pass first. Default 0. */
  readonly skip?: number;
  /** Calls that are hit then. Default: every one until `heal`. */
  readonly times?: number;
  /** Only calls with such arguments; only they count for `skip` and `times`. */
  readonly when?: (args: readonly unknown[]) => boolean;
}

/**
 * A random schedule: each call of these methods is hit with a probability, by a fault drawn from the list. Equal seeds
 * and calls give equal faults.
 */
export interface RandomFaults {
  readonly seed: number;
  /** From 0 to 1. */
  readonly probability: number;
  readonly faults: readonly Fault[];
  /** Absent: all. */
  readonly methods?: readonly FaultyMethod[];
}

export interface StorageCall {
  readonly method: FaultyMethod;
  readonly args: readonly unknown[];
  readonly fault: Fault | undefined;
}

interface Rule {
  readonly rule: FaultRule;
  readonly methods: ReadonlySet<string> | undefined;
  skip: number;
  times: number;
}

/**
 * A storage that fails on purpose. `storage` is what the code under test gets; the rest is the test's hand on it. Rules
 * come before the random schedule, older rules before newer ones; a call is hit by the first that takes it.
 */
export class FaultyStorage {
  readonly storage: Storage;
  /** Every call so far, in order. */
  readonly calls: StorageCall[] = [];
  #rules: Rule[] = [];
  #random: { readonly faults: RandomFaults; readonly draw: () => number } | undefined;
  #held: (() => void)[] = [];

  constructor(target: Storage) {
    this.storage = new Proxy(target, {
      get: (_, name) => {
        // Bound to the target: its private fields are not the proxy's.
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function") return value;
        if (typeof name === "symbol" || name === "watch") return value.bind(target);
        return (...args: unknown[]) =>
          this.#call(name as FaultyMethod, args, () => Promise.resolve(value.apply(target, args)));
      },
    });
  }

  /** Adds a line to the script; the result takes it out again. */
  fail(rule: FaultRule): () => void {
    const methods = rule.methods === undefined ? undefined : new Set<string>([rule.methods].flat());
    const added: Rule = { rule, methods, skip: rule.skip ?? 0, times: rule.times ?? Number.POSITIVE_INFINITY };
    this.#rules.push(added);
    return () => {
      this.#rules = this.#rules.filter((other) => other !== added);
    };
  }

  failAtRandom(faults: RandomFaults): void {
    this.#random = { faults, draw: randomOf(faults.seed) };
  }

  /** Ends all faults to come. Calls that are held stay held. */
  heal(): void {
    this.#rules = [];
    this.#random = undefined;
  }

  /** Calls that are held right now. */
  get held(): number {
    return this.#held.length;
  }

  /** Lets held calls go on, oldest first; all of them unless a number is given. */
  release(count = this.#held.length): void {
    for (const go of this.#held.splice(0, count)) go();
  }

  callsOf(method: FaultyMethod): readonly StorageCall[] {
    return this.calls.filter((call) => call.method === method);
  }

  async #call(method: FaultyMethod, args: readonly unknown[], execute: () => Promise<unknown>): Promise<unknown> {
    const fault = this.#faultOf(method, args);
    this.calls.push({ method, args, fault });
    switch (fault) {
      case undefined:
        return execute();
      case "unavailable":
        throw new StorageError("unavailable", `Injected: ${method} is unavailable`);
      case "executed-unknown":
        await execute();
        throw new StorageError("unavailable", `Injected: the answer of ${method} was lost`, { outcome: "unknown" });
      case "lost-unknown":
        throw new StorageError("unavailable", `Injected: ${method} was lost`, { outcome: "unknown" });
      case "held":
        await this.#hold();
        return execute();
      case "answer-held": {
        const outcome = await Promise.allSettled([execute()]);
        await this.#hold();
        if (outcome[0].status === "rejected") throw outcome[0].reason;
        return outcome[0].value;
      }
      case "broken":
        throw new TypeError(`Injected: ${method} has a bug`);
      case "executed-broken":
        await execute();
        throw new TypeError(`Injected: ${method} has a bug`);
      case "missing":
      case "lost":
      case "invalid":
      case "corrupt":
      case "closed":
        throw new StorageError(fault, `Injected: ${method} fails as ${fault}`);
      default:
        return fault satisfies never;
    }
  }

  #hold(): Promise<void> {
    return new Promise((resolve) => this.#held.push(resolve));
  }

  #faultOf(method: FaultyMethod, args: readonly unknown[]): Fault | undefined {
    for (const rule of this.#rules) {
      if (
        rule.times <= 0 ||
        (rule.methods !== undefined && !rule.methods.has(method)) ||
        rule.rule.when?.(args) === false
      )
        continue;
      if (rule.skip > 0) {
        rule.skip--;
        continue;
      }
      rule.times--;
      return rule.rule.fault;
    }
    if (this.#random === undefined) return undefined;
    const { faults, draw } = this.#random;
    if (faults.methods !== undefined && !faults.methods.includes(method)) return undefined;
    if (draw() >= faults.probability) return undefined;
    return faults.faults[Math.floor(draw() * faults.faults.length)];
  }
}
