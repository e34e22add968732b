import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";

/**
 * Sends an HTTP/2 PING to a client that has sent nothing for `silentMs`, and calls `dead` if no byte comes for another
 * `answerMs`. Any byte counts, since on a slow line the answer may wait behind other data. The PINGs also keep proxies
 * from closing an idle connection. Ends with the session.
 */
export function watchForSilence(
  session: ServerHttp2Session,
  socket: Socket,
  clock: Clock,
  { silentMs, answerMs, dead }: { readonly silentMs: number; readonly answerMs: number; readonly dead: () => void },
): void {
  let heard = socket.bytesRead;
  let cancel = clock.after(silentMs, look);
  session.once("close", () => cancel());

  function look(): void {
    if (session.destroyed) return;
    const silent = socket.bytesRead === heard;
    heard = socket.bytesRead;
    if (!silent) {
      cancel = clock.after(silentMs, look);
      return;
    }
    // The answer counts as bytes read.
    session.ping(() => undefined);
    cancel = clock.after(answerMs, () => {
      if (socket.bytesRead === heard) dead();
      else look();
    });
  }
}
