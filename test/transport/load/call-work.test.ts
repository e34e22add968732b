import { expect, test } from "vitest";
import { CallGate } from "../../../src/transport/load/call-gate.ts";
import { CallWork } from "../../../src/transport/load/call-work.ts";

const never = new AbortController().signal;

function gates({ places = 2, all = 3, waiting = 5, allWaiting = 6 } = {}) {
  const process = new CallGate(all);
  const shared = { max: allWaiting, count: 0 };
  const begun: string[] = [];
  const call = (connection: CallGate, name: string, signal = never) => {
    const work = new CallWork({ connection, process, waiting: shared, connectionWaitingMax: waiting }, signal);
    const entered = work.enter();
    if (entered === undefined) begun.push(name);
    return { work, entered: entered?.then(() => begun.push(name)) };
  };
  return { process, shared, begun, call, connect: () => new CallGate(places) };
}

test("calls beyond the places of their connection wait, and begin in their order", async () => {
  const { begun, call, connect } = gates();
  const one = connect();
  const [a, b, c, d] = ["a", "b", "c", "d"].map((name) => call(one, name));
  expect(begun).toEqual(["a", "b"]);
  b?.work.leave();
  b?.work.leave();
  await c?.entered;
  a?.work.leave();
  await d?.entered;
  expect(begun).toEqual(["a", "b", "c", "d"]);
  expect([one.taken, one.waiting]).toEqual([2, 0]);
});

test("a connection that waits for itself keeps no other one waiting; the places of the process do", async () => {
  const { process, begun, call, connect } = gates();
  const [one, other] = [connect(), connect()];
  const first = call(one, "a");
  for (const name of ["b", "c", "d"]) call(one, name);
  call(other, "e");
  const last = call(other, "f");
  expect(begun).toEqual(["a", "b", "e"]);
  // Its connection's next call comes after the call that waits for a place in the process.
  first.work.leave();
  await last.entered;
  expect(begun).toEqual(["a", "b", "e", "f"]);
  expect([process.taken, process.waiting]).toEqual([3, 1]);
});

test("a call that ends while it waits gives up its turn, at either gate", async () => {
  const { process, shared, begun, call, connect } = gates({ all: 1 });
  const [one, other] = [connect(), connect()];
  const leaving = new AbortController();
  const first = call(one, "a");
  // These two wait for the process, and the next two for their connection.
  const left = [call(other, "b", leaving.signal), call(one, "c", leaving.signal), call(one, "d", leaving.signal)];
  const last = call(one, "e");
  const reason = new Error("The client has hung up");
  leaving.abort(reason);
  for (const { entered } of left) await expect(entered).rejects.toBe(reason);
  first.work.leave();
  await last.entered;
  last.work.leave();
  expect(begun).toEqual(["a", "e"]);
  expect(shared.count).toBe(0);
  expect([process, one, other].map(({ taken, waiting }) => [taken, waiting])).toEqual([
    [0, 0],
    [0, 0],
    [0, 0],
  ]);
});

test("calls that wait are bounded on a connection", () => {
  const { call, connect } = gates({ waiting: 2 });
  const one = connect();
  for (const name of ["a", "b", "c", "d"]) call(one, name);
  expect(() => call(one, "e")).toThrow("Too many calls wait to be worked on: ");
  expect(() => call(connect(), "f")).not.toThrow();
});

test("calls that wait are bounded in the process", () => {
  const { call, connect } = gates({ places: 1, all: 1, waiting: 3, allWaiting: 3 });
  const [one, other] = [connect(), connect()];
  const waiting = ["a", "b", "c"].map((name) => call(one, name));
  call(other, "d");
  expect(() => call(other, "e")).toThrow("Too many calls wait to be worked on: ");
  waiting[1]?.work.leave();
  expect(() => call(other, "e")).not.toThrow();
});

test("work may outlive its call until it leaves by itself", () => {
  const { process, call, connect } = gates();
  const { work } = call(connect(), "a");
  work.outlive();
  work.end();
  expect(process.taken).toBe(1);
  work.leave();
  work.end();
  expect(process.taken).toBe(0);
});
