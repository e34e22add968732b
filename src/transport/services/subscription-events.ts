import type { HandlerContext } from "@connectrpc/connect";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import type { WaitOptions } from "../../manager/task-manager.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { toConnectError } from "../errors/errors.ts";
import { restOf, workKey } from "../load/call-work.ts";

/**
 * What a streaming method yields: the events of the subscription that `open` returns, until it ends or the call does,
 * by its deadline or because the client hangs up. It is the one generator between the log and the binding, so it maps
 * errors for Connect as well: another generator for that would cost more than an event.
 */
export async function* subscriptionEvents<T>(
  { logger }: CallSettings,
  context: HandlerContext,
  open: (options: WaitOptions) => TaskSubscriber,
  toEvents: (subscriber: TaskSubscriber) => AsyncIterable<T>,
): AsyncGenerator<T> {
  const { signal } = context;
  let subscriber: TaskSubscriber | undefined;
  // `return` has no effect on a generator that waits. Closing the subscription ends its wait.
  const onAbort = () => void subscriber?.close();
  try {
    // To open begins what the request asks for. A call that is over already, by a deadline of 0 or a client that left,
    // begins nothing.
    signal.throwIfAborted();
    subscriber = open({ onWait: restOf(context) });
    // The opening goes on if the client leaves meanwhile.
    context.values.get(workKey)?.outlive();
    signal.addEventListener("abort", onAbort, { once: true });
    yield* toEvents(subscriber);
    // A subscription that was closed because the call is over must not look like the end of the task.
    signal.throwIfAborted();
  } catch (error) {
    throw toConnectError(error, logger);
  } finally {
    signal.removeEventListener("abort", onAbort);
    await subscriber?.close();
  }
}
