import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";

/** What is asked of a connection. It changes with every request. */
export interface Requests {
  /** Requests whose answer isn't complete. */
  readonly requests: number;
  /** Since when there has been none, by the monotonic clock. */
  readonly idleSinceMs: number;
}

/**
 * Closes an HTTP/2 connection that has had no request for `idleMs`, and cuts it if the client has not gone `closeMs`
 * later. Ends with the session.
 *
 * Not by the session's own timeout: Node 26.10 keeps its timer, and so the session, until it is due, though the
 * connection has ended long before. It also counts PINGs, and tells a listener only once.
 */
export function closeWhenIdle(
  session: ServerHttp2Session,
  socket: Socket,
  clock: Clock,
  { idleMs, closeMs }: { readonly idleMs: number; readonly closeMs: number },
  connection: Requests,
): void {
  let cancel = clock.after(idleMs, look);
  session.once("close", () => cancel());

  function look(): void {
    const restMs = connection.requests > 0 ? idleMs : connection.idleSinceMs + idleMs - clock.monotonic();
    if (restMs > 0) {
      cancel = clock.after(restMs, look);
      return;
    }
    session.close();
    // A client may never close its side.
    cancel = clock.after(closeMs, () => socket.destroy());
  }
}
