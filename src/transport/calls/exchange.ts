import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { TaskError } from "../../domain/task-error.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import type { ReadingBody } from "../load/reading-bodies.ts";
import type { ConnectionLoad } from "../load/server-load.ts";
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
  /** What the connection of this exchange holds. */
  readonly connection: ConnectionLoad;
  readonly #controller = new AbortController();
  #body: ReadingBody | undefined;
  #identity: Identity | Promise<Identity> | undefined;

  constructor(request: NodeRequest, response: HttpResponse, { hooks, openExchanges }: CallSettings) {
    this.request = request;
    this.hooks = hooks;
    this.connection = hooks.load.connectionOf(request);
    const writer = new ResponseWriter(response, hooks.load);
    this.response = writer;
    openExchanges.add(this);
    // A broken connection also closes the response, which says all that matters.
    response.on("error", () => undefined);
    response.once("close", () => {
      writer.release();
      this.dropBody();
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

  /** Begins with the body of the request. `refuse` is called if there is no more room for it. */
  openBody(refuse: (error: TaskError) => void): ReadingBody {
    this.#body = this.connection.bodies.open(refuse);
    return this.#body;
  }

  /** The body is read and no longer kept: its call works now, or is over. */
  dropBody(): void {
    this.#body?.close();
  }

  /** Who sends the request, asked once. Throws or rejects with the refusal. */
  get identity(): Identity | Promise<Identity> {
    this.#identity ??= this.hooks.authenticate(this.request);
    return this.#identity;
  }
}
