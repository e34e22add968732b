import type { ConnectError } from "@connectrpc/connect";

/** What the end of the server aborts. */
interface Abortable {
  abort(reason: ConnectError): void;
}

/**
 * The exchanges that the end of the server aborts. One listener serves all: a signal looks through its listeners for
 * each one that is added, which thousands of streams would make slow.
 */
export class OpenExchanges {
  readonly #open = new Set<Abortable>();
  readonly #shutdownSignal: AbortSignal | undefined;

  constructor(shutdownSignal: AbortSignal | undefined) {
    this.#shutdownSignal = shutdownSignal;
    shutdownSignal?.addEventListener(
      "abort",
      () => {
        for (const exchange of this.#open) exchange.abort(shutdownSignal.reason);
      },
      { once: true },
    );
  }

  /** Aborts the exchange at once if the server has ended already. */
  add(exchange: Abortable): void {
    if (this.#shutdownSignal?.aborted) exchange.abort(this.#shutdownSignal.reason);
    else this.#open.add(exchange);
  }

  get size(): number {
    return this.#open.size;
  }

  delete(exchange: Abortable): void {
    this.#open.delete(exchange);
  }
}
