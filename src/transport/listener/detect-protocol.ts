import type { Socket } from "node:net";
import type { Clock } from "../../runtime/clock.ts";

/** What every HTTP/2 client sends first (RFC 9113, 3.4). No HTTP/1.1 request begins with it. */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "latin1");

/**
 * Detects the version of HTTP by the first bytes of a connection and puts them back. It compares no more bytes than it
 * needs: two are enough for nearly every HTTP/1.1 request. `found` is called at most once, in the same step in which the
 * bytes arrive. The connection is cut if the client is silent for `limitMs` or ends its side.
 */
export function readFirstBytes(socket: Socket, clock: Clock, limitMs: number, found: (version: 1 | 2) => void): void {
  let first: Buffer = Buffer.alloc(0);
  const stop = () => {
    cancelTimer();
    socket.off("readable", onReadable);
    socket.off("end", onEnd);
    socket.off("close", stop);
  };
  const onEnd = () => socket.destroy();
  const cancelTimer = clock.after(limitMs, () => {
    stop();
    socket.destroy();
  });
  function onReadable(): void {
    for (;;) {
      const chunk: Buffer | null = socket.read();
      if (chunk === null) return;
      first = first.length === 0 ? chunk : Buffer.concat([first, chunk]);
      const compared = Math.min(first.length, preface.length);
      const same = preface.compare(first, 0, compared, 0, compared) === 0;
      if (same && compared < preface.length) continue;
      stop();
      socket.unshift(first);
      found(same ? 2 : 1);
      return;
    }
  }
  socket.on("readable", onReadable);
  socket.on("end", onEnd);
  socket.on("close", stop);
}
