import { Agent, request as http1Request, type IncomingHttpHeaders } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2 } from "node:http2";
import { connect, type Socket } from "node:net";
import { Duplex } from "node:stream";
import type { Input } from "./inputs.ts";
import type { WireEdit, WireEdits } from "./wire-edits.ts";

export interface Answer {
  /** 0: no head came. */
  readonly status: number;
  /** With the trailers. */
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** "open": the client left a stream that had no end. "cut": the connection or the stream broke. */
  readonly end: "complete" | "open" | "cut";
  /** Why it was cut, as the client's library says. */
  readonly error?: string;
}

/** No answer comes later, however busy the machine is. */
const answerMs = 30_000;
/** A stream without an event for this time has none to come: the demo agent is told nothing that takes longer. */
const silentMs = 500;
/** An edited connection may wait for bytes that were dropped. It is left after this time. */
const rawSilentMs = 100;

/** The connections of one lane of inputs, which are sent one after the other. */
export class Wire implements Disposable {
  readonly #url: URL;
  #agent = newAgent();
  #session: ClientHttp2Session | undefined;

  constructor(url: URL) {
    this.#url = url;
  }

  /** Sends an input and resolves with what came back. Never rejects for what the server does. */
  async send(input: Input): Promise<Answer> {
    const isHttp1 = input.request.version === 1;
    if (input.edits === undefined) {
      const answer = await (isHttp1 ? this.#http1(input) : this.#http2(input, this.#openSession()));
      // A wrong head, as one with a wrong length, may spoil the connection for the next input.
      if (input.faults.includes("head")) {
        this[Symbol.dispose]();
        this.#agent = newAgent();
      }
      return answer;
    }
    const socket = new EditedSocket(connect(Number(this.#url.port), this.#url.hostname), input.edits, isHttp1);
    if (isHttp1) {
      const answer = await this.#http1(input, socket);
      socket.destroy();
      return answer;
    }
    const session = connectHttp2(this.#url.origin, { createConnection: () => socket });
    session.on("error", () => undefined);
    const answer = await this.#http2(input, session);
    session.destroy();
    socket.destroy();
    return answer;
  }

  [Symbol.dispose](): void {
    this.#agent.destroy();
    this.#session?.destroy();
  }

  #openSession(): ClientHttp2Session {
    if (this.#session === undefined || this.#session.closed || this.#session.destroyed) {
      this.#session = connectHttp2(this.#url.origin);
      this.#session.on("error", () => undefined);
    }
    return this.#session;
  }

  #http1({ request, cutAt, faults }: Input, socket?: EditedSocket): Promise<Answer> {
    return new Promise((resolve) => {
      const { verb, path, headers, body } = request;
      const parts: Buffer[] = [];
      let status = 0;
      let received: IncomingHttpHeaders = {};
      const done = (end: Answer["end"], error?: unknown) => {
        resolve({
          status,
          headers: received,
          body: Buffer.concat(parts),
          end,
          ...(error ? { error: String(error) } : {}),
        });
        if (end !== "complete") sent.destroy();
      };
      const sent = http1Request({
        host: this.#url.hostname,
        port: this.#url.port,
        method: verb,
        path,
        // Without a length Node sends a body in chunks.
        headers: { ...(body && { "content-length": body.byteLength }), ...headers },
        ...(socket === undefined ? { agent: this.#agent } : { createConnection: () => socket }),
        // The answer may be a head of nonsense.
        insecureHTTPParser: socket !== undefined,
      });
      sent.on("response", (response) => {
        status = response.statusCode ?? 0;
        received = response.headers;
        if (socket === undefined || faults.length === 0) sent.setTimeout(silentMs, () => done("open"));
        response.on("data", (part: Buffer) => parts.push(part));
        response.on("end", () => {
          received = { ...received, ...response.trailers };
          done("complete");
        });
        response.on("error", (error) => done("cut", error));
        response.on("close", () => done("cut", "closed"));
      });
      sent.on("error", (error) => done("cut", error));
      sent.on("upgrade", () => done("cut", "upgraded"));
      sent.on("close", () => done("cut", "closed"));
      sent.setTimeout(socket === undefined || faults.length === 0 ? answerMs : rawSilentMs, () => done("open"));
      if (cutAt === undefined) sent.end(body);
      else sent.write(body?.subarray(0, cutAt) ?? "", () => done("cut", "left"));
    });
  }

  #http2({ request, cutAt, edits, faults }: Input, session: ClientHttp2Session): Promise<Answer> {
    return new Promise((resolve) => {
      const { verb, path, headers, body } = request;
      const parts: Buffer[] = [];
      let status = 0;
      let received: IncomingHttpHeaders = {};
      const authority = headers.host === undefined ? {} : { ":authority": headers.host };
      const { host: _, ...others } = headers;
      const stream = session.request(
        { ":method": verb, ":path": path, ...authority, ...others },
        { endStream: body === undefined },
      );
      let error: unknown;
      const done = (end: Answer["end"]) =>
        resolve({
          status,
          headers: received,
          body: Buffer.concat(parts),
          end,
          ...(error ? { error: String(error) } : {}),
        });
      stream.on("response", (head) => {
        status = head[":status"] ?? 0;
        received = head;
        if (edits === undefined || faults.length === 0) stream.setTimeout(silentMs, leave);
      });
      stream.on("trailers", (trailers) => {
        received = { ...received, ...trailers };
      });
      stream.on("data", (part: Buffer) => parts.push(part));
      stream.on("error", (failure) => {
        error = failure;
      });
      // A reset without an error ends an answer that came before the request was complete.
      stream.on("close", () => done(status !== 0 && error === undefined ? "complete" : "cut"));
      const leave = () => {
        done("open");
        stream.close(8);
      };
      stream.setTimeout(edits === undefined || faults.length === 0 ? answerMs : rawSilentMs, leave);
      if (body === undefined) return;
      if (cutAt === undefined) stream.end(body);
      else
        stream.write(body.subarray(0, cutAt), () => {
          error = "left";
          stream.close(8);
        });
    });
  }
}

function newAgent(): Agent {
  return new Agent({ keepAlive: true, maxSockets: 1 });
}

/** A socket whose outgoing bytes are edited. What comes in is passed on as it is. */
class EditedSocket extends Duplex {
  readonly #socket: Socket;
  readonly #edits: WireEdit[];
  readonly #pieces: number;
  readonly #isHttp1: boolean;
  /** Bytes that came to be sent. */
  #position = 0;
  #dropping = 0;

  constructor(socket: Socket, { edits, pieces }: WireEdits, isHttp1: boolean) {
    super({ allowHalfOpen: true });
    this.#socket = socket;
    this.#edits = [...edits];
    this.#pieces = pieces;
    this.#isHttp1 = isHttp1;
    socket.setNoDelay(true);
    socket.on("data", (chunk) => {
      if (!this.push(chunk)) socket.pause();
    });
    socket.on("end", () => this.push(null));
    socket.on("error", (error) => this.destroy(error));
    socket.on("close", () => this.destroy());
    this.on("error", () => undefined);
  }

  override _read(): void {
    this.#socket.resume();
  }

  override _write(chunk: Buffer, _encoding: string, done: (error?: Error | null) => void): void {
    const edited = this.#edited(Buffer.from(chunk));
    if (this.#pieces === 0 || edited.byteLength === 0) this.#socket.write(edited, done);
    else {
      for (let at = 0; at < edited.byteLength; at += this.#pieces)
        this.#socket.write(edited.subarray(at, at + this.#pieces));
      this.#socket.write("", done);
    }
  }

  override _final(done: (error?: Error | null) => void): void {
    this.#socket.end(() => done());
  }

  override _destroy(error: Error | null, done: (error?: Error | null) => void): void {
    this.#socket.destroy();
    done(error);
  }

  // The clients of Node ask these of their sockets.
  setNoDelay(): this {
    return this;
  }
  setKeepAlive(): this {
    return this;
  }
  setTimeout(ms: number, listener?: () => void): this {
    this.#socket.setTimeout(ms, listener);
    this.#socket.once("timeout", () => this.emit("timeout"));
    return this;
  }
  ref(): this {
    return this;
  }
  unref(): this {
    return this;
  }

  #edited(chunk: Buffer): Buffer {
    const out: Buffer[] = [];
    let rest = chunk;
    while (rest.byteLength > 0) {
      const edit = this.#edits[0];
      const distance = edit === undefined ? Number.POSITIVE_INFINITY : this.#distance(edit, rest);
      const plain = rest.subarray(0, Math.min(distance, rest.byteLength));
      out.push(this.#kept(plain));
      this.#position += plain.byteLength;
      rest = rest.subarray(plain.byteLength);
      if (edit === undefined || distance >= plain.byteLength + rest.byteLength) continue;
      this.#edits.shift();
      out.push(this.#apply(edit, rest));
    }
    return Buffer.concat(out);
  }

  /** Bytes from here to where the edit begins. */
  #distance({ at, kind }: WireEdit, rest: Buffer): number {
    const from = Math.max(0, at - this.#position);
    if (kind !== "unit" || from >= rest.byteLength) return from;
    if (this.#isHttp1) {
      const end = rest.indexOf("\r\n", from);
      return end === -1 ? Number.POSITIVE_INFINITY : end + 2;
    }
    // Node writes whole frames; the first write begins with the preface.
    let frame = this.#position === 0 ? 24 : 0;
    while (frame < from && frame + 9 <= rest.byteLength) frame += 9 + rest.readUIntBE(frame, 3);
    return frame;
  }

  #kept(bytes: Buffer): Buffer {
    const dropped = Math.min(this.#dropping, bytes.byteLength);
    this.#dropping -= dropped;
    return bytes.subarray(dropped);
  }

  #apply({ kind, count = 0, hex = "" }: WireEdit, rest: Buffer): Buffer {
    switch (kind) {
      case "flip":
        rest.writeUInt8((rest[0] ?? 0) ^ count);
        break;
      case "drop":
        this.#dropping += count;
        break;
      case "insert":
      case "unit":
        return Buffer.from(hex, "hex");
      case "reset":
        this.#socket.resetAndDestroy();
        break;
      case "end":
        this.#socket.end();
        break;
      default:
        kind satisfies never;
    }
    return Buffer.alloc(0);
  }
}
