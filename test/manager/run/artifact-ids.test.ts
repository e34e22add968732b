import { expect, it } from "vitest";
import { artifactFrom } from "../../../src/agent/artifact-from.ts";
import type { TaskContext } from "../../../src/agent/message-processor.ts";
import { text } from "../../../src/agent/parts.ts";
import { artifact, completed, inputRequired, textOf } from "../../../src/agent/processor-events.ts";
import { ArtifactIds } from "../../../src/domain/artifact-ids.ts";
import type { ProcessorEvent } from "../../../src/domain/processor-event.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import { agent, begun, message, sent, setup, stateOf } from "../fixtures.ts";

async function* tokens(...all: readonly string[]): AsyncGenerator<string> {
  for (const token of all) {
    yield token;
    // Apart enough to be chunks of their own.
    await settle();
  }
}

it("an artifact that a lost turn had begun is replaced by the turn that runs again, not doubled", async () => {
  async function* run({ attempt, committed }: TaskContext): AsyncGenerator<ProcessorEvent> {
    const words = attempt === 1 ? ["lost ", "words"] : ["new ", "text"];
    yield artifact("Plan", text(`plan ${attempt}`));
    yield* artifactFrom(tokens("whole"), { name: "Answer" });
    yield* artifactFrom(tokens(...words), { name: "Answer", flushMs: 0 });
    yield* artifactFrom(tokens(...words), { flushMs: 0 });
    await committed();
    if (attempt === 1) await new Promise(() => {});
    yield completed();
  }
  const storage = createMemoryStorage();
  const processor = agent(run, { onLost: "resume" });
  const dead = await setup(processor, { faulty: new FaultyStorage(storage) });
  const { id } = await begun(dead.manager, "go");
  await settle(30);
  const before = (await dead.manager.getTask(id)).task.artifacts;
  expect(before.map((one) => textOf(one).replaceAll("\n", ""))).toEqual([
    "plan 1",
    "whole",
    "lost words",
    "lost words",
  ]);
  const next = await setup(processor, { faulty: new FaultyStorage(storage) });
  await settle(30);
  const { task } = await next.manager.getTask(id);
  expect(stateOf(task)).toBe("COMPLETED");
  expect(task.artifacts.map(({ artifactId }) => artifactId)).toEqual(before.map(({ artifactId }) => artifactId));
  expect(task.artifacts.map((one) => textOf(one).replaceAll("\n", ""))).toEqual([
    "plan 2",
    "whole",
    "new text",
    "new text",
  ]);
});

it("artifacts of the same name in two turns are two", async () => {
  const { manager } = await setup(
    agent(async function* () {
      yield artifact("Answer", { text: "x" });
      yield* artifactFrom(tokens("a", "b"), { name: "Answer" });
      yield inputRequired("?");
    }),
  );
  const { id } = await sent(manager, "one");
  const { artifacts } = await sent(manager, message("two", { taskId: id }));
  expect(artifacts.map(({ name }) => name)).toEqual(["Answer", "Answer", "Answer", "Answer"]);
  expect(new Set(artifacts.map(({ artifactId }) => artifactId)).size).toBe(4);
});

it("two streams that an agent sends at once are two artifacts, each with its own text", async () => {
  const { manager } = await setup(
    agent(async function* () {
      const streams = [tokens("a", "b", "c"), tokens("1", "2", "3")].map((each) => artifactFrom(each, { flushMs: 0 }));
      const [letters, digits] = streams.map((each) => each[Symbol.asyncIterator]());
      for (let open = true; open; ) {
        const results = await Promise.all([letters?.next(), digits?.next()]);
        for (const result of results) if (result !== undefined && !result.done) yield result.value;
        open = results.some((result) => result?.done === false);
      }
    }),
  );
  const { artifacts } = await sent(manager, "go");
  expect(artifacts.map((one) => textOf(one).replaceAll("\n", ""))).toEqual(["abc", "123"]);
});

it("ids of names that are long, or look like ids, are apart and within the bound on ids", () => {
  const ids = new ArtifactIds({ message: { sequence: 18_446_744_073_709_551_615n } });
  const names = ["", "", "1", "1.1", "2-a", "a", "a", "語".repeat(300), "語".repeat(400), "😀".repeat(99)];
  const made = names.map((name) => ids.next(name, {}));
  expect(new Set(made).size).toBe(names.length);
  expect(Math.max(...made.map((id) => Buffer.byteLength(id)))).toBeLessThanOrEqual(256);
});
