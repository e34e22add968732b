import { expect, test } from "vitest";
import { AnswerBudget, ExchangeRoom } from "../../../src/transport/load/answer-budget.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";

function setup(processBytesMax = 100, connectionBytesMax = 50) {
  const clock = new ManualClock();
  const budget = new AnswerBudget(clock, { processBytesMax, connectionBytesMax });
  return { clock, budget, room: (connection: object = {}) => new ExchangeRoom(budget, connection) };
}

test("answers with one source count once in the process, and share what they hold", async () => {
  const { budget, room } = setup();
  const rooms = Array.from({ length: 10 }, () => room());
  const shared = await Promise.all(rooms.map((each) => each.share("task/1", 40)));
  expect(new Set(shared).size).toBe(1);
  expect(budget.held).toBe(40);
  rooms[0]?.grow(30);
  expect(budget.held).toBe(70);
  for (const each of rooms.slice(1)) each.close();
  expect(budget.held).toBe(70);
  rooms[0]?.release();
  expect(budget.held).toBe(0);
});

test("an answer without room waits for it, in the process or on its connection", async () => {
  const { budget, room } = setup();
  const connection = {};
  const [first, second] = [room(connection), room()];
  void first.share("a", 50);
  void second.share("b", 50);
  let begun = 0;
  const waiting = [room().share("c", 1), room(connection).share("d", 1)];
  for (const each of waiting) void Promise.resolve(each).then(() => begun++);
  await settle();
  expect([begun, budget.waiting]).toEqual([0, 2]);
  second.close();
  await settle();
  expect([begun, budget.waiting]).toEqual([1, 1]);
  first.close();
  await Promise.all(waiting);
  expect(budget.held).toBe(2);
});

test("an answer that waits too long is refused, with the limit and its setting", async () => {
  const { clock, room } = setup();
  const connection = {};
  void room(connection).share("a", 50);
  const here = Promise.resolve(room(connection).share("b", 1));
  const refused = expect(here).rejects.toMatchObject({
    reason: "TOO_MANY",
    message: expect.stringContaining("50 bytes of this connection (--max-connection-answer-bytes)"),
  });
  void room().share("c", 50);
  const anywhere = expect(Promise.resolve(room().share("d", 1))).rejects.toMatchObject({
    message: expect.stringContaining("100 bytes of this server (--max-answer-bytes)"),
  });
  await clock.advance(10_000);
  await Promise.all([refused, anywhere]);
  expect(clock.waiting).toBe(0);
});

test("an answer larger than the budget passes alone", async () => {
  const { budget, room } = setup();
  const large = room();
  expect(large.share("large", 1000)).not.toBeInstanceOf(Promise);
  const small = room().share("small", 1);
  expect(small).toBeInstanceOf(Promise);
  large.close();
  await small;
  expect(budget.held).toBe(1);
});

test("a client that leaves while its answer waits takes no room", async () => {
  const { budget, clock, room } = setup();
  const first = room();
  void first.share("a", 100);
  const left = room();
  const refused = expect(Promise.resolve(left.share("b", 1))).rejects.toMatchObject({ reason: "TOO_MANY" });
  left.close();
  await refused;
  first.close();
  expect([budget.held, budget.waiting, clock.waiting]).toEqual([0, 0, 0]);
});

test("when the first that waits gives up, those behind it get the room that is free", async () => {
  const { clock, budget, room } = setup(100, 100);
  const [kept, leaving] = [room(), room()];
  void kept.share("kept", 60);
  void leaving.share("leaving", 30);
  const large = expect(Promise.resolve(room().share("large", 80))).rejects.toMatchObject({ reason: "TOO_MANY" });
  await clock.advance(5_000);
  let begun = false;
  const small = Promise.resolve(room().share("small", 20)).then(() => {
    begun = true;
  });
  // 40 bytes are free now, but the large answer was first.
  leaving.close();
  await settle();
  expect([begun, budget.waiting]).toEqual([false, 2]);
  await clock.advance(5_000);
  await Promise.all([large, small]);
  expect([begun, budget.held]).toEqual([true, 80]);
});
