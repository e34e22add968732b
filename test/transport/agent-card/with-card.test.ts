import { expect, test } from "vitest";
import type { MessageContext, MessageProcessor, TaskContext } from "../../../src/agent/message-processor.ts";
import { completed } from "../../../src/agent/processor-events.ts";
import { withCard } from "../../../src/server/with-card.ts";

/** An agent that is a class, which is itself only as long as its methods are called on it. */
class Agent implements MessageProcessor {
  readonly #text = "mine";
  readonly card = { name: "Own" };
  readonly onLost = "resume";
  readonly whileWorking = "reject";

  async *processMessage() {
    yield completed(this.#text);
  }

  async answerMessage() {
    return { parts: [{ content: { case: "text" as const, value: this.#text } }] };
  }
}

test("an agent under another card is the same in all else", async () => {
  const card = { name: "Given" };
  const given = withCard(new Agent(), card);
  expect(given).toMatchObject({ card, onLost: "resume", whileWorking: "reject" });
  const events = [];
  for await (const event of given.processMessage({} as TaskContext)) events.push(event);
  expect(events).toEqual([completed("mine")]);
  expect(await given.answerMessage?.({} as MessageContext)).toMatchObject({ parts: [{ content: { value: "mine" } }] });
});

test("and has nothing that it didn't have", () => {
  expect(Object.keys(withCard({ async *processMessage() {} }, { name: "Given" })).toSorted()).toEqual([
    "card",
    "processMessage",
  ]);
});
