import { expect, test } from "vitest";
import { ReadingBodies, type ReadingBody } from "../../../src/transport/load/reading-bodies.ts";

function loads({ process = 100, connection = 60 } = {}) {
  const whole = new ReadingBodies(process, "--all");
  const refused: string[] = [];
  const open = (on: ReadingBodies, name: string): ReadingBody =>
    on.open((error) => refused.push(`${name}: ${error.reason}: ${error.message}`));
  return { whole, refused, open, connect: () => new ReadingBodies(connection, "--one", whole) };
}

test("a body without room is refused with the setting, and holds nothing any more", () => {
  const { whole, refused, open, connect } = loads();
  const one = connect();
  const [first, second] = [open(one, "first"), open(one, "second")];
  expect([first.take(40), second.take(20), second.take(1), second.take(1)]).toEqual([true, true, false, false]);
  expect(refused).toEqual([
    "second: TOO_MANY: The requests that are being read on this connection have more than 60 bytes (--one)",
  ]);
  expect([one.bytes, whole.bytes]).toEqual([40, 40]);
  expect(first.take(20)).toBe(true);
});

test("the newest bodies make room for the older ones, whichever asks", () => {
  const { refused, open, connect } = loads();
  const one = connect();
  const bodies = ["a", "b", "c", "d"].map((name) => open(one, name));
  const [a, b, c, d] = bodies;
  for (const body of bodies) body.take(15);
  expect(b?.take(20)).toBe(true);
  expect(refused.map((text) => text[0])).toEqual(["d", "c"]);
  expect([a?.take(10), c?.take(1), d?.take(1)]).toEqual([true, false, false]);
  expect(one.bytes).toBe(60);
});

test("the bound of the process refuses the newest body, on whatever connection", () => {
  const { whole, refused, open, connect } = loads();
  const [one, other] = [connect(), connect()];
  const first = open(one, "first");
  const second = open(other, "second");
  second.take(50);
  first.take(50);
  expect(first.take(1)).toBe(true);
  expect(refused).toEqual(["second: TOO_MANY: The requests that are being read have more than 100 bytes (--all)"]);
  expect([one.bytes, other.bytes, whole.bytes]).toEqual([51, 0, 51]);
});

test("a body that is complete counts until it is closed, and is no longer refused", () => {
  const { whole, refused, open, connect } = loads();
  const one = connect();
  const [first, second] = [open(one, "first"), open(one, "second")];
  first.take(20);
  second.take(40);
  second.complete();
  expect(first.take(1)).toBe(false);
  expect(refused).toHaveLength(1);
  expect(one.bytes).toBe(40);
  second.close();
  second.close();
  expect([one.bytes, whole.bytes]).toEqual([0, 0]);
});
