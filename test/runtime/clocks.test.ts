import { describe, expect, it } from "vitest";
import { steadyClock } from "../../src/runtime/steady-clock.ts";
import { WallClock } from "../../src/runtime/wall-clock.ts";
import { ManualClock } from "./manual-clock.ts";

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

function start() {
  const clock = new ManualClock();
  return { clock, wall: new WallClock(clock), startMs: clock.now() };
}

describe("A wall clock with a memory of its jumps", () => {
  it.each([
    hourMs,
    dayMs,
  ])("that is set forward by %i ms is believed once the lifetime in question has passed", async (jumpMs) => {
    const { clock, wall, startMs } = start();
    clock.jump(jumpMs);
    expect([wall.read() - startMs, wall.earliest(hourMs) - startMs]).toEqual([jumpMs, 0]);
    await clock.advance(hourMs - 1);
    wall.read();
    expect(wall.earliest(hourMs) - startMs).toBe(hourMs - 1);
    // What lives longer needs more time.
    await clock.advance(1);
    wall.read();
    expect([wall.earliest(hourMs) - startMs, wall.earliest(2 * hourMs) - startMs]).toEqual([hourMs + jumpMs, hourMs]);
  });

  it.each([
    hourMs,
    dayMs,
  ])("that is set back by %i ms is believed at once, and so is its way back later", async (jumpMs) => {
    const { clock, wall, startMs } = start();
    clock.jump(-jumpMs);
    wall.read();
    expect(wall.earliest(hourMs) - startMs).toBe(-jumpMs);
    await clock.advance(minuteMs);
    clock.jump(jumpMs);
    wall.read();
    // What was used meanwhile has a time from before the correction.
    expect(wall.earliest(hourMs) - startMs).toBe(minuteMs - jumpMs);
    await clock.advance(hourMs);
    expect(wall.earliest(hourMs)).toBeLessThanOrEqual(wall.read());
    expect(wall.earliest(hourMs) - startMs).toBe(minuteMs + hourMs);
  });

  it("that jumps again is not believed before the last jump is old enough", async () => {
    const { clock, wall, startMs } = start();
    for (let jump = 1; jump <= 3; jump++) {
      clock.jump(dayMs);
      wall.read();
      await clock.advance(hourMs / 2);
    }
    wall.read();
    // The second jump was an hour ago: what was used after it has a time two days ahead.
    expect(wall.earliest(hourMs) - startMs).toBe(1.5 * hourMs + dayMs * 2);
    await clock.advance(hourMs / 2);
    wall.read();
    expect(wall.earliest(hourMs) - startMs).toBe(2 * hourMs + 3 * dayMs);
  });

  it("says how far the clocks ran apart, whatever the direction", async () => {
    const { clock, wall } = start();
    clock.jump(hourMs);
    wall.read();
    await clock.advance(minuteMs);
    clock.jump(-3 * hourMs);
    wall.read();
    expect(wall.ranApartMs(hourMs)).toBe(3 * hourMs);
    await clock.advance(hourMs);
    wall.read();
    expect(wall.ranApartMs(hourMs)).toBe(0);
  });

  it("is taken at its word where it is corrected bit by bit", async () => {
    const { clock, wall } = start();
    for (let round = 0; round < 10; round++) {
      clock.jump(50);
      await clock.advance(hourMs);
      const nowMs = wall.read();
      expect(nowMs - wall.earliest(hourMs)).toBeLessThanOrEqual(150);
    }
  });

  it("that jumps all the time is believed late, never early", async () => {
    const { clock, wall, startMs } = start();
    for (let jump = 0; jump < 1_000; jump++) {
      clock.jump(minuteMs);
      wall.read();
      await clock.advance(1);
    }
    wall.read();
    expect(wall.earliest(hourMs) - startMs).toBe(1_000);
  });
});

describe("A steady clock", () => {
  it.each([
    minuteMs,
    hourMs,
  ])("set back by %i ms goes on at half its speed until the wall clock has caught up", async (backMs) => {
    const clock = new ManualClock();
    const steady = steadyClock(clock);
    const startMs = steady.now();
    clock.jump(-backMs);
    await clock.advance(backMs);
    expect(steady.now() - startMs).toBe(backMs / 2);
    await clock.advance(backMs);
    expect(steady.now() - startMs).toBe(backMs);
    await clock.advance(minuteMs);
    expect(steady.now()).toBe(clock.now());
  });

  it.each([-dayMs, hourMs, dayMs])("follows the wall clock by %i ms at once", (jumpMs) => {
    const clock = new ManualClock();
    const steady = steadyClock(clock);
    steady.now();
    clock.jump(jumpMs);
    expect(steady.now()).toBe(clock.now());
  });
});
