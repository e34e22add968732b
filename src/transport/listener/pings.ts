import type { ServerHttp2Session } from "node:http2";
import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";

/**
 * Asks a client by an HTTP/2 PING whether it is still there, whenever nothing came from it for `silentMs`, and calls
 * `dead` if nothing comes for `answerMs` then: neither the answer nor anything else, since an answer may stand behind
 * much else on a slow line. Also keeps proxies from taking the connection for forgotten. Ends with the session.
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
    // What it is answered with shows in the bytes read.
    session.ping(() => undefined);
    cancel = clock.after(answerMs, () => {
      if (socket.bytesRead === heard) dead();
      else look();
    });
  }
}
