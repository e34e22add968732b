import type { MaybePromise } from "../storage-engine.ts";

/**
 * How an operation runs. It is a generator that yields the promises it waits for. On an engine whose statements return
 * values it yields nothing, so it runs to its end in one call, without a promise (docs/adr/0007-one-storage-core.md).
 */
export type Steps<Result> = Generator<Promise<unknown>, Result, unknown>;

/** The result of one statement, for `yield*`. */
export type Step<T> = Iterable<Promise<unknown>, T, unknown>;

/** `yield* step(tables.task(key, at))` is the statement's result, on engines that wait and on those that don't. */
export function step<T>(result: MaybePromise<T>): Step<T> {
  if (result instanceof Promise) {
    return wait(result);
  }
  // One object for all statements, since `yield*` reads it before anything else runs. It saves three objects each.
  ready.result.value = result;
  return ready as Step<T>;
}

/** An operation that has run already, by statements that returned values. To be run at once, like every step. */
export function done<Result>(result: Result): Steps<Result> {
  return step(result) as Steps<Result>;
}

/** Runs an operation over statements that return values. */
export function runAtOnce<Result>(steps: Steps<Result>): Result {
  const { done, value } = steps.next();
  if (done !== true) {
    throw new Error("A statement of an engine that doesn't wait returned a promise");
  }
  return value;
}

/** Runs an operation over statements that return promises, one after the other. */
export async function runAwaiting<Result>(steps: Steps<Result>): Promise<Result> {
  let next = steps.next();
  while (next.done !== true) {
    let result: unknown;
    try {
      result = await next.value;
    } catch (error) {
      next = steps.throw(error);
      continue;
    }
    next = steps.next(result);
  }
  return next.value;
}

const ready = {
  result: { done: true, value: undefined as unknown },
  next() {
    return this.result;
  },
  [Symbol.iterator]() {
    return this;
  },
};

function* wait<T>(promise: Promise<T>): Steps<T> {
  return (yield promise) as T;
}
