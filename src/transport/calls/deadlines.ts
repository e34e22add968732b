import type { Interceptor } from "@connectrpc/connect";

/**
 * Lets `untilAborted` hold for every unary call. Streams see to it by themselves, since a race for each event would
 * cost more than the event.
 */
export const endWithSignal: Interceptor = (next) => (request) =>
  request.stream ? next(request) : untilAborted(request.signal, () => next(request));

/**
 * A call is answered when its signal is aborted (its deadline, the end of the server, a client that hangs up), whatever
 * it waits for: a storage that doesn't answer keeps no client. What the call began goes on. Rejects with the signal's
 * reason then.
 */
export function untilAborted<T>(signal: AbortSignal, call: () => Promise<T>): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) return onAbort();
    signal.addEventListener("abort", onAbort, { once: true });
    call()
      .then(resolve, reject)
      .finally(() => signal.removeEventListener("abort", onAbort));
  });
}

/** The longest that a timer can wait. Beyond it Node's fire at once. */
const timeoutMsMax = 2 ** 31 - 1;
const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000 };

/**
 * The time to a call's deadline; none, as if there were no deadline, if it lies further ahead than a timer can wait.
 */
export function timerMs(timeoutMs: number | undefined): { readonly timeoutMs?: number } {
  return timeoutMs !== undefined && timeoutMs <= timeoutMsMax ? { timeoutMs } : {};
}

/**
 * Takes deadlines away that lie further ahead than a timer can wait, 24 days: Connect would take them for over at once.
 * Clients send them for "no deadline", such as `99999999H`.
 */
export function dropFarDeadlines(headers: Headers): void {
  const [, amount, unit = ""] = /^(\d{1,8})([HMS])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  if (Number(amount) * (units[unit] ?? 0) > timeoutMsMax) headers.delete("grpc-timeout");
  const ms = headers.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(ms) && Number(ms) > timeoutMsMax) headers.delete("connect-timeout-ms");
}
