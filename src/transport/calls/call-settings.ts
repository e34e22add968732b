import type { HandlerContext } from "@connectrpc/connect";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import type { Caller } from "../../domain/scope.ts";
import type { Logger } from "../../runtime/logger.ts";
import type { AgentCardInit } from "../agent-card/capabilities.ts";
import type { BindingName } from "../binding-names.ts";
import { toConnectError } from "../errors/errors.ts";
import type { Admission } from "./admission.ts";

/**
 * The extended card for the caller who asks, undefined if there is none for him. Whoever gives it answers for who may
 * see it (R114): nothing asks callers who they are yet.
 */
export type ExtendedCard = (caller: Caller) => Promise<AgentCardInit | undefined>;

/** What services and bindings need beside the manager. */
export interface CallSettings {
  /** Lets calls of the contract in. Every binding asks it before it parses a request. */
  readonly gate: Admission;
  readonly extendedCard?: ExtendedCard | undefined;
  readonly logger: Logger;
  /** Which of them there are. */
  readonly bindings: ReadonlySet<BindingName>;
  /** The largest request that is read, bytes. */
  readonly readBytesMax: number;
  /** Ends every call that is still open when it is aborted, with its reason: a ConnectError. */
  readonly shutdownSignal?: AbortSignal;
  /** Silence on a stream after which a sign of life goes out, milliseconds. */
  readonly heartbeatMs: number;
}

/** Who calls: the tenant of the request, nobody in particular until authentication exists. */
export function callerOf(request: { readonly tenant: string }, context: HandlerContext): Caller {
  return { tenant: request.tenant, owner: "", claims: {}, headers: context.requestHeader };
}

/** A unary call, its errors told as Connect's. */
export async function answering<T>({ logger }: CallSettings, body: () => Promise<T>): Promise<T> {
  try {
    return await body();
  } catch (error) {
    throw toConnectError(error, logger);
  }
}

/**
 * What a subscription yields, until it ends or the call does: at its deadline, when the client hangs up. The one
 * generator between the log and Connect.
 */
export async function* streaming<T>(
  { logger }: CallSettings,
  subscriber: TaskSubscriber,
  context: HandlerContext,
  body: (subscriber: TaskSubscriber) => AsyncIterable<T>,
): AsyncGenerator<T> {
  // A generator that waits can't be told to return; a subscription can be closed.
  const { signal } = context;
  const onAbort = () => void subscriber.close();
  signal.addEventListener("abort", onAbort, { once: true });
  try {
    // One that is over already, by a deadline of 0 or a client that left meanwhile, tells no listener any more.
    signal.throwIfAborted();
    yield* body(subscriber);
    // Closed for that reason, it must not look like the end of the task.
    signal.throwIfAborted();
  } catch (error) {
    throw toConnectError(error, logger);
  } finally {
    signal.removeEventListener("abort", onAbort);
    await subscriber.close();
  }
}
