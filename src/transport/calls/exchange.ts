import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { NodeRequest } from "../listener/request-handler.ts";
import type { CallHooks, Identity } from "./call-hooks.ts";
import type { CallSettings } from "./call-settings.ts";
import { type HttpResponse, ResponseWriter } from "./response-writer.ts";

/** The exchange of a call that comes by Connect. Undefined on a router of the embedding application. */
export const exchangeKey = createContextKey<Exchange | undefined>(undefined, { description: "the HTTP exchange" });

/** One HTTP request and its answer: what all calls share that it carries. */
export class Exchange {
  readonly request: NodeRequest;
  readonly response: ResponseWriter;
  readonly hooks: CallHooks;
  readonly #controller = new AbortController();
  #identity: Identity | Promise<Identity> | undefined;

  constructor(request: NodeRequest, response: HttpResponse, { hooks, openExchanges }: CallSettings) {
    this.request = request;
    this.hooks = hooks;
    const writer = new ResponseWriter(response, hooks.load);
    this.response = writer;
    openExchanges.add(this);
    // A broken connection also closes the response, which says all that matters.
    response.on("error", () => undefined);
    response.once("close", () => {
      writer.release();
      openExchanges.delete(this);
      if (!response.writableEnded) this.abort(new ConnectError("The client has hung up", Code.Canceled));
    });
  }

  /** Aborted when the calls of the exchange have to end. Its reason is a ConnectError, which clients get. */
  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  /** Ends the calls of the exchange. Only the first reason counts. */
  abort(reason: ConnectError): void {
    this.#controller.abort(reason);
  }

  /** Who sends the request, asked once. Throws or rejects with the refusal. */
  get identity(): Identity | Promise<Identity> {
    this.#identity ??= this.hooks.authenticate(this.request);
    return this.#identity;
  }
}
