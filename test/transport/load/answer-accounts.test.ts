import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { defaultHooks } from "../../../src/transport/calls/call-hooks.ts";
import { Exchange } from "../../../src/transport/calls/exchange.ts";
import type { HttpResponse } from "../../../src/transport/calls/response-writer.ts";
import type { NodeRequest } from "../../../src/transport/listener/request-handler.ts";
import { ServerLoad } from "../../../src/transport/load/server-load.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";
import { testSettings } from "../call-settings.ts";

/** A response whose client takes what the test tells it to. */
class ScriptedResponse extends EventEmitter {
  headersSent = false;
  writableEnded = false;
  destroyed = false;
  readonly #untaken: { readonly bytes: number; readonly taken: () => void }[] = [];

  get untakenBytes(): number {
    return this.#untaken.reduce((sum, { bytes }) => sum + bytes, 0);
  }

  writeHead(): void {
    this.headersSent = true;
  }

  write({ byteLength }: Uint8Array, taken: () => void): boolean {
    this.#untaken.push({ bytes: byteLength, taken });
    return this.untakenBytes < 100;
  }

  end(): void {
    this.writableEnded = true;
    if (this.untakenBytes === 0) this.close();
  }

  takeOne(): void {
    this.#untaken.shift()?.taken();
    if (this.untakenBytes === 0) this.emit(this.writableEnded ? "close" : "drain");
  }

  /** As Node does it: what the network has lost is told of after the close. */
  close(): void {
    if (this.destroyed) return;
    this.destroyed = true;
    this.emit("close");
    for (const { taken } of this.#untaken.splice(0)) taken();
  }

  destroy(): void {
    this.close();
  }
}

/** Numbers from 0 to below 1 that a seed decides (mulberry32). */
function randomOf(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

const given = process.env.ANSWERS_SEED;
const seeds = given === undefined ? Array.from({ length: 40 }, (_, index) => index + 1) : [Number(given)];

test.each(seeds)("whatever clients do, all that was counted is given back (ANSWERS_SEED=%i)", async (seed) => {
  const random = randomOf(seed);
  const below = (max: number) => Math.floor(random() * max);
  const clock = new ManualClock();
  const load = new ServerLoad({ answerBytesMax: 2_000, connectionAnswerBytesMax: 800 }, clock);
  const settings = testSettings({ hooks: { ...defaultHooks(), load }, clock });
  const sockets = Array.from({ length: 4 }, () => new EventEmitter());
  const open: { readonly exchange: Exchange; readonly response: ScriptedResponse }[] = [];
  const calls: Promise<unknown>[] = [];
  let granted = 0;

  const call = async (exchange: Exchange, response: ScriptedResponse) => {
    const writer = exchange.response;
    writer.begin(200, {});
    for (let answers = 1 + below(3); answers > 0; answers--) {
      const kind = below(3);
      if (kind === 0) {
        await exchange.share(`task ${below(3)}`, 100 + below(300));
        granted++;
        if (random() < 0.5) exchange.countMade(below(200));
        await writer.writePieces([Buffer.alloc(below(300))]);
        await exchange.releaseTaken();
      } else if (kind === 1) {
        const bytes = Buffer.alloc(1 + below(1_500));
        const made = await exchange.roomFor(bytes, () => bytes, below(2) * bytes.byteLength);
        granted++;
        await writer.writePieces([made]);
        await exchange.releaseTaken();
      } else {
        await writer.inRoom(Buffer.alloc(1 + below(100)), (bytes) => writer.write(bytes), exchange.signal);
      }
      if (response.destroyed) return;
    }
    writer.end();
  };

  for (let step = 0; step < 400; step++) {
    const picked = open[below(open.length)];
    const action = below(10);
    if (action < 3 || picked === undefined) {
      const response = new ScriptedResponse();
      const request = { headers: {}, socket: sockets[below(4)] } as unknown as NodeRequest;
      const exchange = new Exchange(request, response as unknown as HttpResponse, settings);
      exchange.encodesAlone = random() < 0.3;
      open.push({ exchange, response });
      // A refused or abandoned call ends its answer, as every form does.
      calls.push(call(exchange, response).catch(() => response.destroyed || exchange.response.end()));
    } else if (action < 8) {
      picked.response.takeOne();
    } else if (action === 8) {
      picked.response.close();
    } else {
      await clock.advance(below(15_000));
    }
    if (random() < 0.7) await settle();
    const untaken = open.reduce((sum, { response }) => sum + (response.destroyed ? 0 : response.untakenBytes), 0);
    expect(load.unreadBytes).toBeGreaterThanOrEqual(untaken);
  }
  expect(granted).toBeGreaterThan(20);
  // Half of the clients leave, the others take all.
  for (const { response } of open) if (random() < 0.5) response.close();
  for (let round = 0; round < 2_000 && open.some(({ response }) => !response.destroyed); round++) {
    for (const { response } of open) if (!response.destroyed) response.takeOne();
    await settle();
    if (round % 10 === 9) await clock.advance(1_000);
  }
  await Promise.all(calls);
  const connections = sockets.map((socket) => load.connectionOf({ headers: {}, socket } as unknown as NodeRequest));
  expect([load.answers.held, load.unreadBytes, load.answers.queue.size]).toEqual([0, 0, 0]);
  expect(connections.map(({ answers }) => answers.held)).toEqual([0, 0, 0, 0]);
  await clock.advance(100_000);
  expect(clock.waiting).toBe(0);
});
