import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { AnswerBudget, ExchangeRoom } from "../../../src/transport/load/answer-budget.ts";
import { ByteBudget } from "../../../src/transport/load/byte-budget.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";

function setup(processBytesMax = 100, connectionBytesMax = 50) {
  const clock = new ManualClock();
  const budget = new AnswerBudget(clock, processBytesMax);
  const connection = () => new ByteBudget(connectionBytesMax);
  const room = (on = connection(), signal = new AbortController().signal) => new ExchangeRoom(budget, on, signal);
  return { clock, budget, connection, room };
}

const canceled = new ConnectError("The client has hung up", Code.Canceled);

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
  const { budget, connection: onConnection, room } = setup();
  const connection = onConnection();
  const [first, second] = [room(connection), room()];
  void first.share("a", 50);
  void second.share("b", 50);
  let begun = 0;
  const waiting = [room().share("c", 1), room(connection).share("d", 1)];
  for (const each of waiting) void Promise.resolve(each).then(() => begun++);
  await settle();
  expect([begun, budget.queue.size]).toEqual([0, 2]);
  second.close();
  await settle();
  expect([begun, budget.queue.size]).toEqual([1, 1]);
  first.close();
  await Promise.all(waiting);
  expect(budget.held).toBe(2);
});

test("an answer that waits too long is refused, with the limit and its setting", async () => {
  const { clock, connection: onConnection, room } = setup();
  const connection = onConnection();
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
  const leaving = new AbortController();
  const left = room(undefined, leaving.signal);
  const refused = expect(Promise.resolve(left.share("b", 1))).rejects.toBe(canceled);
  left.close();
  leaving.abort(canceled);
  await refused;
  expect(() => left.share("b", 1)).toThrow(canceled);
  first.close();
  expect([budget.held, budget.queue.size, clock.waiting]).toEqual([0, 0, 0]);
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
  expect([begun, budget.queue.size]).toEqual([false, 2]);
  await clock.advance(5_000);
  await Promise.all([large, small]);
  expect([begun, budget.held]).toEqual([true, 80]);
});

test("a small answer doesn't overtake a large one that came first", async () => {
  const { budget, room } = setup(100, 100);
  const order: string[] = [];
  const small = [room(), room()];
  for (const [index, each] of small.entries()) void each.share(`small ${index}`, 40);
  const large = room();
  void Promise.resolve(large.share("large", 90)).then(() => order.push("large"));
  // One small answer after the other, so that there is never room for the large one unless they wait.
  for (let index = 2; index < 12; index++) {
    const next = room();
    small.push(next);
    void Promise.resolve(next.share(`small ${index}`, 40)).then(
      () => order.push(`small ${index}`),
      () => undefined,
    );
    small[index - 2]?.close();
    await settle();
  }
  expect(order[0]).toBe("large");
  large.close();
  for (const each of small) each.close();
  await settle();
  expect([budget.held, budget.queue.size]).toEqual([0, 0]);
});

test("who waits for its own connection keeps no other connection waiting", async () => {
  const { budget, connection, room } = setup();
  const one = connection();
  void room(one).share("a", 50);
  const waiting = Promise.resolve(room(one).share("b", 50));
  expect(room().share("c", 40)).not.toBeInstanceOf(Promise);
  // The same source is shared: it needs no more.
  expect(room(one).share("a", 50)).not.toBeInstanceOf(Promise);
  expect(budget.held).toBe(90);
  waiting.catch(() => undefined);
});

test("an encoding counts on every connection that shares it, and for those that join later", async () => {
  const { budget, connection, room } = setup(1000, 100);
  const [one, other, third] = [connection(), connection(), connection()];
  const rooms = [room(one), room(other)];
  for (const each of rooms) void each.share("task", 30);
  rooms[0]?.grow(40);
  expect([budget.held, one.held, other.held]).toEqual([70, 70, 70]);
  const late = room(third);
  void late.share("task", 30);
  expect(third.held).toBe(70);
  expect(room(one).share("another", 40)).toBeInstanceOf(Promise);
  for (const each of [...rooms, late]) each.close();
  await settle();
  expect([one.held, other.held, third.held]).toEqual([40, 0, 0]);
});

test("an exchange that holds room gets more without waiting, since another may wait for what it holds", () => {
  const { budget, room } = setup(100, 100);
  const both = room();
  void both.share("a", 80);
  expect(room().share("b", 30)).toBeInstanceOf(Promise);
  expect(both.share("c", 80)).not.toBeInstanceOf(Promise);
  expect(budget.held).toBe(160);
});

test("several calls of one exchange that wait all end with its signal", async () => {
  const { budget, room } = setup();
  void room().share("a", 100);
  const leaving = new AbortController();
  const left = room(undefined, leaving.signal);
  const refused = ["b", "c"].map((source) => expect(Promise.resolve(left.share(source, 10))).rejects.toBe(canceled));
  leaving.abort(canceled);
  await Promise.all(refused);
  expect(budget.queue.size).toBe(0);
});

test("answers that exist while they wait are bounded by their bytes", async () => {
  const { room } = setup();
  void room().share("a", 100);
  const mebibyte = 1024 * 1024;
  const waiting = Array.from({ length: 4 }, (_, index) =>
    Promise.resolve(room().share(`b ${index}`, 16 * mebibyte, {}, 16 * mebibyte)),
  );
  for (const each of waiting) each.catch(() => undefined);
  await expect(Promise.resolve(room().share("c", 1, {}, 1))).rejects.toMatchObject({ reason: "TOO_MANY" });
  expect(room().share("d", 1)).toBeInstanceOf(Promise);
});
