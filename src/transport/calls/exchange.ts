import { Code, ConnectError, createContextKey } from "@connectrpc/connect";
import type { TaskError } from "../../domain/task-error.ts";
import type { AnswerRoom, RoomWait, SharedAnswer } from "../../manager/read/answer-room.ts";
import type { NodeRequest } from "../listener/request-handler.ts";
import { ExchangeRoom } from "../load/answer-budget.ts";
import type { ReadingBody } from "../load/reading-bodies.ts";
import type { ConnectionLoad } from "../load/server-load.ts";
import type { CallHooks, Identity } from "./call-hooks.ts";
import type { CallSettings } from "./call-settings.ts";
import { type HttpResponse, ResponseWriter } from "./response-writer.ts";

/** The exchange of a call that comes by Connect. Undefined on a router of the embedding application. */
export const exchangeKey = createContextKey<Exchange | undefined>(undefined, { description: "the HTTP exchange" });

/** A library's encoding exists beside the task, and once more as the text or the buffer that it is made from. */
const encodesAloneFactor = 3;

/** The ids that a request names. A field that is absent or empty names nothing. */
export interface CalledIds {
  readonly taskId?: string | undefined;
  readonly contextId?: string | undefined;
  readonly messageId?: string | undefined;
}

/** One HTTP request and its answer: what all calls share that it carries. */
export class Exchange implements AnswerRoom {
  readonly request: NodeRequest;
  readonly response: ResponseWriter;
  readonly hooks: CallHooks;
  /** What the connection of this exchange holds. */
  readonly connection: ConnectionLoad;
  readonly #controller = new AbortController();
  #body: ReadingBody | undefined;
  #identity: Identity | Promise<Identity> | undefined;
  #room: ExchangeRoom | undefined;

  /**
   * Whether the answer of the call is encoded as a whole, by a library or in another version of A2A, so that it shares
   * its bytes with no other.
   */
  encodesAlone: boolean;
  /** Whether the log wants to know what the calls are about, and what the present one is about. */
  isLogged = false;
  called: CalledIds | undefined;
  #name: string | undefined;
  #onRoomWait: (() => void) | undefined;

  constructor(
    request: NodeRequest,
    response: HttpResponse,
    { hooks, openExchanges }: CallSettings,
    { encodesAlone = false } = {},
  ) {
    this.encodesAlone = encodesAlone;
    this.request = request;
    this.hooks = hooks;
    this.connection = hooks.load.connectionOf(request);
    const writer = new ResponseWriter(response, this.connection.unread, hooks.load.stalled);
    this.response = writer;
    openExchanges.add(this);
    // A broken connection also closes the response, which says all that matters.
    response.on("error", () => undefined);
    response.once("close", () => {
      writer.release();
      this.dropBody();
      this.#room?.close();
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

  /** The bytes of the request's body, as its sender declared them; undefined if it didn't. */
  get requestBytes(): number | undefined {
    const declared = this.request.headers["content-length"];
    return declared === undefined ? undefined : Number(declared);
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

  /** Whether the answer is large, so that it has taken room. */
  get isLarge(): boolean {
    return this.#room?.isTaken === true;
  }

  /**
   * `rest` is called whenever an answer waits for room. One is enough: the calls of a batch run one after the other,
   * and each sets its own before it asks for room.
   */
  onRoomWait(rest: () => void): void {
    this.#onRoomWait = rest;
  }

  /** One for the exchange: a task that it asks for twice is one. */
  get #ownName(): string {
    this.#name ??= crypto.randomUUID();
    return this.#name;
  }

  share(source: string, bytes: number, wait?: RoomWait): SharedAnswer | Promise<SharedAnswer> {
    const shared = this.encodesAlone
      ? this.#ownRoom.share(`${this.#ownName} ${source}`, bytes * encodesAloneFactor, wait)
      : this.#ownRoom.share(source, bytes, wait);
    if (shared instanceof Promise) this.#onRoomWait?.();
    return shared;
  }

  /**
   * Takes room for an encoding beyond `partBytesMax` whose message took none before. Returns the encoding. It isn't
   * kept while it waits: `encode` makes it again. `existing` are the bytes that exist meanwhile: none of an event,
   * which is in the log. Rejects with TaskError TOO_MANY, and with the signal's reason.
   */
  roomFor(made: Uint8Array, encode: () => Uint8Array, existing: number): Uint8Array | Promise<Uint8Array> {
    const room = this.#ownRoom.share(crypto.randomUUID(), made.byteLength, {}, existing);
    return room instanceof Promise ? room.then(encode) : made;
  }

  get #ownRoom(): ExchangeRoom {
    this.#room ??= new ExchangeRoom(this.hooks.load.answers, this.connection.answers, this.signal);
    return this.#room;
  }

  /** Counts the bytes of an encoding that was made of what took room. Needs no `this`. */
  readonly countMade = (bytes: number): void => {
    // Counted before, as a part of what it took.
    if (!this.encodesAlone) this.#room?.grow(bytes);
  };

  /** Gives the room of an answer back once the client has taken all of its bytes: until then the network holds them. */
  async releaseTaken(): Promise<void> {
    await this.response.allTaken();
    this.release();
  }

  release(): void {
    this.#room?.release();
  }

  /** Who sends the request, asked once. Throws or rejects with the refusal. */
  get identity(): Identity | Promise<Identity> {
    this.#identity ??= this.hooks.authenticate(this.request);
    return this.#identity;
  }
}
