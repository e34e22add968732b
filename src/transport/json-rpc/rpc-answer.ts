import type { OutgoingHttpHeaders } from "node:http";
import type { Message } from "@bufbuild/protobuf";
import type { ConnectError } from "@connectrpc/connect";
import { jsonAnswer } from "../answers/sized-answer.ts";
import type { Pieces } from "../answers/task-lists.ts";
import type { CallContext } from "../calls/call-context.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { eventIdOf } from "../calls/event-sequence.ts";
import type { Exchange } from "../calls/exchange.ts";
import type { ResponseWriter } from "../calls/response-writer.ts";
import type { AnswerForm } from "../calls/run-call.ts";
import { EventStreamWriter } from "../http-json/event-stream.ts";
import { acceptsEventsOnly } from "../http-json/media-types.ts";
import type { Dialect, DialectMethod } from "./dialect.ts";
import { errorText, type RpcId, resultText } from "./rpc-message.ts";

/** The HTTP request and its answer. */
type RpcHttp = Pick<Exchange, "request" | "response">;

export const jsonHeaders = { "content-type": "application/json" };

/** How results and errors of one call become JSON. */
export interface RpcForm {
  readonly id: RpcId;
  readonly dialect: Dialect;
  readonly method: DialectMethod;
}

function textOf({ id, method }: RpcForm): (message: Message) => string {
  return (message) => resultText(id, method.write(message));
}

/** Answers a whole HTTP request with one response object. */
export function sendText(response: ResponseWriter, text: string, headers: OutgoingHttpHeaders = {}): void {
  if (response.isBegun) return;
  const bytes = Buffer.from(text);
  response.begin(200, { ...headers, ...jsonHeaders, "content-length": bytes.byteLength });
  response.end(bytes);
}

/**
 * Answers a whole HTTP request with an error. It is an event if the client accepts nothing else: such a client looks
 * for events in every answer, as the SDK for Go does for streams.
 */
export async function sendError(
  { request, response }: RpcHttp,
  text: string,
  { clock, heartbeatMs }: CallSettings,
  headers: OutgoingHttpHeaders = {},
): Promise<void> {
  if (response.isBegun) return;
  if (!acceptsEventsOnly(request)) return sendText(response, text, headers);
  const events = new EventStreamWriter(response, headers, clock, heartbeatMs);
  await events.write({ data: text });
  events.end();
}

/** Answers an HTTP request that has notifications only. */
export function sendNoContent(response: ResponseWriter, headers: OutgoingHttpHeaders): void {
  if (response.isBegun) return;
  response.begin(204, headers);
  response.end();
}

/** The answer of a single call: a response object, or server-sent events with one in each. */
export class SingleAnswer implements AnswerForm {
  readonly #exchange: Exchange;
  readonly #response: ResponseWriter;
  readonly #context: CallContext;
  readonly #form: RpcForm;
  readonly #settings: CallSettings;
  #events: EventStreamWriter | undefined;
  readonly #textOf: (message: Message) => string;

  constructor(exchange: Exchange, context: CallContext, form: RpcForm, settings: CallSettings) {
    this.#exchange = exchange;
    this.#response = exchange.response;
    this.#context = context;
    this.#form = form;
    this.#textOf = textOf(form);
    this.#settings = settings;
  }

  get isDone(): boolean {
    return this.#response.isGone;
  }

  unary(message: Message): Promise<void> | undefined {
    const text = jsonAnswer(this.#exchange, message, this.#textOf, "unary");
    if (text instanceof Promise) return this.#largeUnary(text);
    sendText(this.#response, text, this.#headers());
    return undefined;
  }

  async #largeUnary(text: Promise<Pieces>): Promise<void> {
    const { pieces, bytes } = await text;
    if (this.#response.isGone) return;
    this.#response.begin(200, { ...this.#headers(), ...jsonHeaders, "content-length": bytes });
    await this.#response.writePieces(pieces);
    this.#response.end();
  }

  async #largeEvent(text: Promise<Pieces>, id: string | undefined): Promise<void> {
    const { pieces } = await text;
    await this.#begun().writePieces(pieces, id);
    await this.#exchange.releaseTaken();
  }

  event(message: Message): Promise<void> | undefined {
    const data = jsonAnswer(this.#exchange, message, this.#textOf, "event");
    const id = eventIdOf(message);
    return data instanceof Promise ? this.#largeEvent(data, id) : this.#begun().write({ data, id });
  }

  end(): void {
    this.#begun().end();
  }

  async fail(error: ConnectError): Promise<void> {
    const { id, dialect } = this.#form;
    const text = errorText(id, dialect.errorOf(error));
    if (this.#events === undefined) {
      await sendError(this.#exchange, text, this.#settings, this.#headers());
      return;
    }
    await this.#events.write({ data: text });
    this.#events.end();
  }

  /** The head goes out with the first event or the end: what rejects a stream comes before, as a plain answer. */
  #begun(): EventStreamWriter {
    const { clock, heartbeatMs } = this.#settings;
    this.#events ??= new EventStreamWriter(this.#response, this.#headers(), clock, heartbeatMs);
    return this.#events;
  }

  #headers(): OutgoingHttpHeaders {
    return this.#context.answerHeader;
  }
}

/** A notification: the call is made, and nothing is answered. A stream is closed after its first event. */
export class NoAnswer implements AnswerForm {
  readonly #response: ResponseWriter;
  readonly #context: CallContext;
  readonly isDone = true;

  constructor(response: ResponseWriter, context: CallContext) {
    this.#response = response;
    this.#context = context;
  }

  unary(): void {
    this.#send();
  }

  event(): undefined {
    this.#send();
  }

  end(): void {
    this.#send();
  }

  fail(): void {
    this.#send();
  }

  #send(): void {
    sendNoContent(this.#response, this.#context.answerHeader);
  }
}

/** The answer of one call of a batch, kept until the batch has written it. */
export class BatchAnswer implements AnswerForm {
  readonly #exchange: Exchange;
  readonly #form: RpcForm;
  readonly isDone = true;
  pieces: readonly Uint8Array[] = [];

  constructor(exchange: Exchange, form: RpcForm) {
    this.#exchange = exchange;
    this.#form = form;
  }

  async unary(message: Message): Promise<void> {
    const text = jsonAnswer(this.#exchange, message, textOf(this.#form), "unary");
    this.pieces = text instanceof Promise ? (await text).pieces : [Buffer.from(text)];
  }

  fail(error: ConnectError): void {
    this.pieces = [Buffer.from(errorText(this.#form.id, this.#form.dialect.errorOf(error)))];
  }

  // The batch rejects streams before they are called.
  event(): undefined {}
  end(): void {}
}
