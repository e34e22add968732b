import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { AnswerRoom, SharedAnswer } from "../../manager/read/answer-room.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import { type AnswerBudget, ExchangeRoom } from "../load/answer-budget.ts";
import type { CallHooks, Identity } from "./call-hooks.ts";
import type { CallSettings } from "./call-settings.ts";
import { type HttpResponse, ResponseWriter } from "./response-writer.ts";

/** The exchange of a call that comes by Connect. Undefined on a router of the embedding application. */
export const exchangeKey = createContextKey<Exchange | undefined>(undefined, { description: "the HTTP exchange" });

/** What ends a call before its time. */
export interface CallSignals {
  /** Aborted when the client hangs up. */
  readonly requestSignal: AbortSignal;
  /** Aborted when the server ends. */
  readonly shutdownSignal?: AbortSignal;
}

/** A library's encoding exists beside the task, and once more as the text or the buffer that it is made from. */
const encodesAloneFactor = 3;

/** What carries the request: requests over HTTP/2 share it. */
function connectionOf(request: NodeRequest): object {
  return "stream" in request ? (request.stream.session ?? request.stream) : request.socket;
}

/** One HTTP request and its answer: what all calls share that it carries. */
export class Exchange implements AnswerRoom {
  readonly request: NodeRequest;
  readonly response: ResponseWriter;
  readonly signals: CallSignals;
  readonly hooks: CallHooks;
  readonly #answers: AnswerBudget;
  #identity: Identity | Promise<Identity> | undefined;
  #room: ExchangeRoom | undefined;

  readonly #encodesAlone: boolean;

  /** `encodesAlone`: the answer is encoded by a library, which shares its bytes with no other. */
  constructor(
    request: NodeRequest,
    response: HttpResponse,
    { hooks, shutdownSignal, answers, stalled }: CallSettings,
    { encodesAlone = false } = {},
  ) {
    this.#encodesAlone = encodesAlone;
    this.request = request;
    this.hooks = hooks;
    this.#answers = answers;
    const writer = new ResponseWriter(response, hooks.load, stalled);
    this.response = writer;
    const controller = new AbortController();
    this.signals = { requestSignal: controller.signal, ...(shutdownSignal && { shutdownSignal }) };
    // A broken connection also closes the response, which says all that matters.
    response.on("error", () => undefined);
    response.once("close", () => {
      writer.release();
      this.#room?.close();
      if (!response.writableEnded) controller.abort(new ConnectError("The client has hung up", Code.Canceled));
    });
  }

  /** Whether the answer is large, so that it has taken room. */
  get isLarge(): boolean {
    return this.#room?.isTaken === true;
  }

  share(source: string, bytes: number): SharedAnswer | Promise<SharedAnswer> {
    this.#room ??= new ExchangeRoom(this.#answers, connectionOf(this.request));
    if (!this.#encodesAlone) return this.#room.share(source, bytes);
    return this.#room.share(`${crypto.randomUUID()} ${source}`, bytes * encodesAloneFactor);
  }

  /** Counts the bytes of an encoding that other answers use too. Needs no `this`. */
  readonly countMade = (bytes: number): void => this.#room?.grow(bytes);

  release(): void {
    this.#room?.release();
  }

  /** Who sends the request, asked once. Throws or rejects with the refusal. */
  get identity(): Identity | Promise<Identity> {
    this.#identity ??= this.hooks.authenticate(this.request);
    return this.#identity;
  }
}
