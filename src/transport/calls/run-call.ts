import { create, type DescMessage, type Message, type MessageInitShape } from "@bufbuild/protobuf";
import { Code, ConnectError, type HandlerContext, type MethodImplSpec } from "@connectrpc/connect";
import { toConnectError } from "../errors/errors.ts";
import { workOf, workUntilAborted } from "../load/call-work.ts";
import { type CallContext, identityKey } from "./call-context.ts";
import { anonymous } from "./call-hooks.ts";
import type { CallSettings } from "./call-settings.ts";
import type { Exchange } from "./exchange.ts";

/** How a binding writes the answer of one call. What a method returns may wait for the client to read. */
export interface AnswerForm {
  /** Writes the answer of a unary method. */
  unary(message: Message): Promise<void> | void;
  /** Writes an event of a stream. The next event is asked for when the result resolves. */
  event(message: Message): Promise<void> | undefined;
  /** Ends a stream, with or without events before. */
  end(): Promise<void> | void;
  /** Writes an error: in place of an answer, or after the events that were written. Must not throw. */
  fail(error: ConnectError): Promise<void> | void;
  /** Whether the client wants no further event, or is gone. */
  readonly isDone: boolean;
}

/** How a binding reads the request of one call, and how it writes the answer. */
export interface CallForm extends AnswerForm {
  /** Prepares the context before the admission looks at it. */
  prepare?(context: HandlerContext): void;
  /**
   * Receives the bytes of the request once the call is admitted. The call doesn't work meanwhile: a client may be slow.
   */
  receive?(context: HandlerContext): Promise<void>;
  /** Reads the request once the call works. Throws TaskError for what can't be read. */
  read(context: HandlerContext): Promise<Message> | Message;
}

/**
 * Runs one call from its context to its end: identity, admission, receive, read, call, write, error, end. Every binding
 * of our own goes this way. Connect's handlers take part by `beginCall`, `admitCall` and `workOf` (docs/adr/0008,
 * 0011). Never rejects: every error is written by the form.
 *
 * Invariant: between `work.enter` and `work.leave` the call waits for no client and for no agent.
 */
export async function runCall(
  method: MethodImplSpec,
  context: CallContext,
  exchange: Exchange,
  form: CallForm,
  settings: CallSettings,
): Promise<void> {
  const end = beginCall(context, settings);
  const work = workOf(context, exchange.connection.gates);
  let failure: ConnectError | undefined;
  try {
    // Nearly all of these are done at once, and a wait for nothing costs a turn of the promise queue.
    const admitted = admitCall(context, exchange, settings, form.prepare);
    if (admitted !== undefined) await admitted;
    if (form.receive !== undefined) await form.receive(context);
    const entered = work?.enter();
    if (entered !== undefined) await entered;
    exchange.dropBody();
    const reading = form.read(context);
    const request = reading instanceof Promise ? await reading : reading;
    if (method.kind === "unary") {
      const answer = await workUntilAborted(context.signal, work, async () => method.impl(request, context));
      const write = (message: Message) => form.unary(message);
      await exchange.response.inRoom(whole(method.method.output, answer), write, context.signal);
    } else if (method.kind === "server_streaming") {
      const { output } = method.method;
      const write = (event: Message) => form.event(event);
      await writeEvents(
        method.impl(request, context),
        (event) => exchange.response.inRoom(whole(output, event), write, context.signal),
        form,
      );
      await form.end();
      // A stream that its client has left is not a complete one.
      if (exchange.response.isGone) context.signal.throwIfAborted();
    } else {
      throw new ConnectError(`${method.method} can't be called over this binding`, Code.Unimplemented);
    }
  } catch (error) {
    exchange.dropBody();
    failure = toConnectError(error, settings.logger);
    await form.fail(failure);
  } finally {
    work?.end();
    context.end();
    end(failure);
  }
}

/**
 * Begins a call: counts it and reports it to the observer. The result ends both and must be called once, with the error
 * that the client got.
 */
export function beginCall(context: HandlerContext, { hooks }: CallSettings): (error: ConnectError | undefined) => void {
  const { load } = hooks;
  load.calls++;
  const observed = hooks.observe(context);
  return (error) => {
    load.calls--;
    observed(error);
  };
}

/**
 * Identifies the sender of a call and admits it. Throws or rejects with the refusal. `prepare` runs between the two.
 * On a Connect router of the embedding application there is no exchange, and the sender is anonymous.
 */
export function admitCall(
  context: HandlerContext,
  exchange: Exchange | undefined,
  { admit }: CallSettings,
  prepare?: (context: HandlerContext) => void,
): Promise<void> | undefined {
  const identity = exchange?.identity ?? anonymous;
  if (identity !== anonymous) {
    return Promise.resolve(identity).then((sender) => {
      context.values.set(identityKey, sender);
      prepare?.(context);
      admit(context);
    });
  }
  prepare?.(context);
  admit(context);
  return undefined;
}

/** Writes events until the stream ends, throws, or no further event is wanted; then the stream is closed. */
export async function writeEvents<T>(
  events: AsyncIterable<T>,
  write: (event: T) => Promise<void> | void,
  form: Pick<AnswerForm, "isDone">,
): Promise<void> {
  for await (const event of events) {
    await write(event);
    if (form.isDone) break;
  }
}

/** Implementations may answer with a part of a message. A message is returned as it is. */
function whole(schema: DescMessage, message: MessageInitShape<DescMessage>): Message {
  return create(schema, message);
}
