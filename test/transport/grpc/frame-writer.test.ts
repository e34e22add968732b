import { EventEmitter } from "node:events";
import { setImmediate } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { type HttpResponse, ResponseWriter } from "../../../src/transport/calls/response-writer.ts";
import { FrameWriter } from "../../../src/transport/grpc/frame-writer.ts";
import { ServerLoad } from "../../../src/transport/load/server-load.ts";

/** Notes what is written; full once it is told so. */
class NotingResponse extends EventEmitter {
  readonly written: string[] = [];
  isFull = false;
  destroyed = false;

  write(bytes: Uint8Array): boolean {
    this.written.push(textsOf(Buffer.from(bytes)));
    return !this.isFull;
  }
}

/** What the messages of a write say, one after the other, by the lengths in front of them. */
function textsOf(bytes: Buffer): string {
  let text = "";
  for (let at = 0; at < bytes.byteLength; ) {
    expect(bytes.readUInt8(at)).toBe(0);
    const end = at + 5 + bytes.readUInt32BE(at + 1);
    expect(end).toBeLessThanOrEqual(bytes.byteLength);
    text += bytes.toString("utf8", at + 5, end);
    at = end;
  }
  return text;
}

function made() {
  const response = new NotingResponse();
  const load = new ServerLoad();
  return {
    response,
    writer: new FrameWriter(
      new ResponseWriter(response as unknown as HttpResponse, load.connectionOf(undefined).unread, load.stalled),
    ),
  };
}

const bytes = (text: string) => Buffer.from(text);

describe("frames", () => {
  test("of one turn of the event loop are one write, in their order", async () => {
    const { response, writer } = made();
    for (const text of ["a", "b", "c"]) expect(writer.add(bytes(text))).toBeUndefined();
    await Promise.resolve();
    expect(response.written).toEqual([]);
    await setImmediate();
    expect(response.written).toEqual(["abc"]);
    await writer.add(bytes("d"));
    await setImmediate();
    expect(response.written).toEqual(["abc", "d"]);
  });

  test("are written at once when many are gathered, and when the stream ends", async () => {
    const { response, writer } = made();
    await writer.add(bytes("x".repeat(32 * 1024)));
    expect(response.written.map(({ length }) => length)).toEqual([32 * 1024]);
    await writer.add(bytes("last"));
    writer.flush();
    await setImmediate();
    expect(response.written.slice(1)).toEqual(["last"]);
  });

  test.each(["drain", "close"])("wait, when nobody reads, for %s", async (event) => {
    const { response, writer } = made();
    response.isFull = true;
    const full = writer.add(bytes("x".repeat(32 * 1024)));
    let isOver = false;
    const waiting = full?.then(() => {
      isOver = true;
    });
    await setImmediate();
    expect(isOver).toBe(false);
    response.emit(event);
    await waiting;
    expect(isOver).toBe(true);
    expect([response.listenerCount("drain"), response.listenerCount("close")]).toEqual([0, 0]);
  });

  test("that were written one a turn wait as well, and the one behind them isn't left behind", async () => {
    const { response, writer } = made();
    response.isFull = true;
    expect(writer.add(bytes("one"))).toBeUndefined();
    await setImmediate();
    const full = writer.add(bytes("two"));
    expect(full).toBeInstanceOf(Promise);
    await setImmediate();
    expect(response.written).toEqual(["one"]);
    response.isFull = false;
    response.emit("drain");
    await full;
    expect(response.written).toEqual(["one", "two"]);
    expect(writer.add(bytes("three"))).toBeUndefined();
    writer.flush();
  });

  test("for a client that is gone are dropped, and hold nobody up", async () => {
    const { response, writer } = made();
    response.isFull = true;
    response.destroyed = true;
    expect(writer.add(bytes("x".repeat(32 * 1024)))).toBeUndefined();
    expect(response.written).toEqual([]);
  });
});
