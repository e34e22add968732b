import type { WireError } from "../errors.ts";

/** What goes between the main thread and a worker. */

/** What a worker is started with. */
export interface WorkerTask {
  readonly role: "writer" | "reader";
  readonly file: string;
  readonly prefix: string;
  readonly maxHistoryLength: number;
}

/** To a worker: calls, in the order in which they are to be carried out; or the last message of all. */
export type ToWorker = readonly Call[] | "close";

export interface Call {
  readonly id: number;
  readonly name: string;
  readonly args: unknown;
  /** The size of what it carries, for the bounds of queues and groups. */
  readonly bytes: number;
}

/** From a worker: first that it is ready or why it can't be, then the answers of one group after another. */
export type FromWorker = "ready" | { readonly failed: WireError } | readonly Reply[];

export type Reply =
  | { readonly id: number; readonly value: unknown }
  | { readonly id: number; readonly error: WireError };
