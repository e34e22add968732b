/**
 * Settles as `call` does, or rejects with the signal's reason once that is aborted: by the call's deadline, the end of
 * the server, or a client that hangs up. So a storage that doesn't answer keeps no client waiting. What the call began
 * goes on; `settled` is called when that is over.
 */
export function untilAborted<T>(signal: AbortSignal, call: () => Promise<T>, settled?: () => void): Promise<T> {
  return new Promise((resolve, reject) => {
    const onAbort = () => reject(signal.reason);
    if (signal.aborted) {
      settled?.();
      return onAbort();
    }
    signal.addEventListener("abort", onAbort, { once: true });
    call()
      .then(resolve, reject)
      .finally(() => {
        signal.removeEventListener("abort", onAbort);
        settled?.();
      });
  });
}

/** The longest time that a timer can wait. Beyond it Node's timers fire at once. */
const timeoutMsMax = 2 ** 31 - 1;
const units: Readonly<Record<string, number>> = { H: 3_600_000, M: 60_000, S: 1000 };

/** The time to a call's deadline. Undefined, as without a deadline, if it is further ahead than a timer can wait. */
export function timerMs(timeoutMs: number | undefined): number | undefined {
  return timeoutMs !== undefined && timeoutMs <= timeoutMsMax ? timeoutMs : undefined;
}

/**
 * Removes deadlines that are further ahead than a timer can wait, 24 days. Clients send such deadlines for "none", for
 * example `99999999H`, and Connect would end the call at once.
 */
export function dropFarDeadlines(headers: Headers): void {
  const [, amount, unit = ""] = /^(\d{1,8})([HMS])$/.exec(headers.get("grpc-timeout") ?? "") ?? [];
  if (Number(amount) * (units[unit] ?? 0) > timeoutMsMax) headers.delete("grpc-timeout");
  const ms = headers.get("connect-timeout-ms") ?? "";
  if (/^\d{1,10}$/.test(ms) && Number(ms) > timeoutMsMax) headers.delete("connect-timeout-ms");
}
