import { expect, test } from "vitest";
import { StalledAnswers } from "../../../src/transport/load/stalled-answers.ts";
import { ManualClock } from "../../runtime/manual-clock.ts";

function setup() {
  const clock = new ManualClock();
  const cut: string[] = [];
  return { clock, cut, stalled: new StalledAnswers(clock), answer: (name: string) => ({ cut: () => cut.push(name) }) };
}

test("only answers whose bytes have waited for 60 s are cut", async () => {
  const { clock, cut, stalled, answer } = setup();
  const [stuck, slow, late] = [answer("stuck"), answer("slow"), answer("late")];
  const cutAfter: string[][] = [];
  stalled.begin(stuck);
  for (let seconds = 0; seconds < 200; seconds += 40) {
    stalled.begin(slow);
    await clock.advance(40_000);
    stalled.end(slow);
    cutAfter.push([...cut]);
  }
  expect(cutAfter).toEqual([[], ["stuck"], ["stuck"], ["stuck"], ["stuck"]]);
  stalled.begin(late);
  await clock.advance(60_000);
  expect(cut).toEqual(["stuck"]);
  await clock.advance(10_000);
  expect(cut).toEqual(["stuck", "late"]);
});

test("no timer runs while nothing waits", async () => {
  const { clock, stalled, answer } = setup();
  const one = answer("one");
  stalled.begin(one);
  stalled.end(one);
  await clock.advance(10_000);
  expect(clock.waiting).toBe(0);
});
