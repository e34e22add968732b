import { describe, expect, it } from "vitest";
import { type ArtifactStream, artifactFrom } from "../../src/agent/artifact-from.ts";
import { completed, textOf } from "../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";
import { sleep } from "../../src/runtime/clock.ts";
import { agent, sent, setup, statusText } from "../manager/fixtures.ts";
import { ManualClock } from "../runtime/manual-clock.ts";

/** Tokens that come `everyMs` after each other. */
async function* tokens(clock: ManualClock, count: number, everyMs: number): AsyncGenerator<string> {
  for (let index = 1; index <= count; index++) {
    await sleep(clock, everyMs);
    yield `${index} `;
  }
}

interface Seen {
  readonly atMs: number;
  readonly text: string;
  readonly append: boolean | undefined;
  readonly last: boolean | undefined;
}

/** Every event, with the time at which it came. */
async function eventsOf(
  source: (clock: ManualClock) => AsyncIterable<string>,
  init: ArtifactStream = {},
): Promise<readonly Seen[]> {
  const clock = new ManualClock();
  const seen: Seen[] = [];
  const all = (async () => {
    for await (const event of artifactFrom(source(clock), { clock, ...init })) seen.push(seenAt(clock, event));
  })();
  await clock.advanceUntil(all);
  expect(clock.waiting).toBe(0);
  return seen;
}

function seenAt(clock: ManualClock, event: ProcessorEvent): Seen {
  if (!("artifactUpdate" in event)) throw new Error("Not an artifact");
  const { artifact, append, lastChunk } = event.artifactUpdate;
  return { atMs: clock.monotonic(), text: textOf(artifact), append, last: lastChunk };
}

const textOfAll = (seen: readonly Seen[]) => seen.map(({ text }) => text).join("");
const numbers = (count: number) => Array.from({ length: count }, (_, index) => `${index + 1} `).join("");

describe("texts that arrive one after another", () => {
  it("travel as one event for every 50 ms: 500 tokens at 5 ms are about 50 events", async () => {
    const seen = await eventsOf((clock) => tokens(clock, 500, 5));
    expect(seen.length).toBeGreaterThanOrEqual(45);
    expect(seen.length).toBeLessThanOrEqual(55);
    expect(textOfAll(seen)).toBe(numbers(500));
    expect(seen.map(({ append }) => append)).toEqual(seen.map((_, index) => index > 0));
    expect(seen.map(({ last }) => last)).toEqual(seen.map((_, index) => index === seen.length - 1));
  });

  it("begin at once, and wait for 50 ms at most", async () => {
    const seen = await eventsOf((clock) => tokens(clock, 22, 5));
    expect(seen.map(({ atMs, text }) => [atMs, text.trim().split(" ").length])).toEqual([
      [5, 1],
      [55, 9],
      [105, 10],
      [110, 2],
    ]);
  });

  it("go at once each where they are further apart, or where nothing is to be joined", async () => {
    expect((await eventsOf((clock) => tokens(clock, 4, 60))).map(({ atMs }) => atMs)).toEqual([60, 120, 180, 240]);
    const apart = await eventsOf((clock) => tokens(clock, 4, 5), { flushMs: 0 });
    expect(apart.map(({ atMs }) => atMs)).toEqual([5, 10, 15, 20]);
  });

  it("are sent before the error of a stream that fails is thrown", async () => {
    const clock = new ManualClock();
    const seen: Seen[] = [];
    const all = (async () => {
      async function* failing() {
        yield* tokens(clock, 3, 5);
        throw new Error("upstream");
      }
      for await (const event of artifactFrom(failing(), { clock })) seen.push(seenAt(clock, event));
    })();
    await expect(clock.advanceUntil(all)).rejects.toThrow("upstream");
    expect([textOfAll(seen), seen.at(-1)?.last]).toEqual(["1 2 3 ", false]);
  });

  it("end their stream when the reader leaves", async () => {
    let ended = false;
    async function* endless() {
      try {
        for (;;) yield "x";
      } finally {
        ended = true;
      }
    }
    for await (const event of artifactFrom(endless())) {
      expect(event).toMatchObject({ artifactUpdate: { append: false } });
      break;
    }
    expect(ended).toBe(true);
  });
});

describe("joinText", () => {
  it("leaves one part with the whole text, which replaces those that were streamed", async () => {
    const seen = await eventsOf((clock) => tokens(clock, 500, 5), { joinText: true });
    expect(seen.at(-1)).toMatchObject({ text: numbers(500), append: false, last: true });
    expect(textOfAll(seen.slice(0, -1))).toBe(numbers(490));
  });

  it("sends nothing twice where the text is one event", async () => {
    const one = await eventsOf((clock) => tokens(clock, 1, 5), { joinText: true, flushMs: 0 });
    expect(one).toEqual([{ atMs: 5, text: "1 ", append: false, last: true }]);
  });

  it("leaves a text that is larger than an event in its parts", async () => {
    async function* large() {
      for (let index = 0; index < 10; index++) {
        yield "x".repeat(1000);
        await new Promise(setImmediate);
        await new Promise(setImmediate);
      }
    }
    const { manager } = await setup(
      agent(async function* () {
        yield* artifactFrom(large(), { joinText: true, flushMs: 0 });
        yield completed("done");
      }),
      { options: { maxEventBytes: 4096 } },
    );
    const task = await sent(manager, "go");
    const [artifact, ...others] = task.artifacts;
    expect([others.length, statusText(task)]).toEqual([0, "done"]);
    expect(artifact?.parts.length).toBeGreaterThan(1);
    expect(artifact?.parts.map((part) => textOf({ parts: [part] })).join("")).toBe("x".repeat(10_000));
  });

  it("makes the task's text one part", async () => {
    const { manager, clock } = await setup(
      agent(async function* (context) {
        yield* artifactFrom(tokens(context.clock as ManualClock, 500, 5), { joinText: true, clock: context.clock });
      }),
    );
    const task = await clock.advanceUntil(sent(manager, "go"));
    expect(task.artifacts.map(({ parts }) => parts.map((part) => textOf({ parts: [part] })))).toEqual([[numbers(500)]]);
  });
});
