/**
 * `T` where JSON holds it and gives it back; else a type that says what is wrong, which nothing fits. In a parameter
 * `value: T & AsJson<T>` the compiler so names the member at fault. Interfaces, optional members and undefined are
 * fine: a member that is undefined is left out. Of `any` and `unknown` nothing can be said before the program runs.
 */
export type AsJson<T> = unknown extends T
  ? T
  : // biome-ignore lint/suspicious/noConfusingVoidType: a step may return nothing.
    T extends Json | undefined | void
    ? T
    : T extends object
      ? ObjectAsJson<T>
      : Fault<T>;

export type Json = null | boolean | number | string | readonly Json[] | { readonly [name: string]: Json };

type ObjectAsJson<T extends object> = T extends (...args: never) => unknown
  ? "JSON can't hold a function"
  : T extends Date
    ? "JSON can't hold a Date: give its toISOString()"
    : T extends ReadonlyMap<unknown, unknown> | ReadonlySet<unknown>
      ? "JSON can't hold a Map or a Set: give an object or a list"
      : T extends ArrayBufferView | ArrayBufferLike
        ? "JSON can't hold bytes: give a file part, or base64"
        : T extends PromiseLike<unknown>
          ? "JSON can't hold a promise: await it"
          : { readonly [Name in keyof T]: AsJson<T[Name]> };

type Fault<T> = T extends bigint
  ? "JSON can't hold a bigint: give a number or a string"
  : T extends symbol
    ? "JSON can't hold a symbol"
    : "JSON can't hold this";
