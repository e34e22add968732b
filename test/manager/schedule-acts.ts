import { artifact, authRequired, completed, failed, inputRequired, working } from "../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";
import type { Turn } from "./fixtures.ts";

const part = { content: { case: "text" as const, value: "x" } };
export const acts: readonly (() => ProcessorEvent)[] = [
  () => working("w"),
  () => artifact({ artifactId: "a", parts: [part] }, { append: true }),
  () => artifact({ artifactId: "b", parts: [part] }),
  () => inputRequired("?"),
  () => authRequired("!"),
  () => completed("done"),
  () => failed("no"),
];

/** Mostly returns: a turn that never ends tells little. */
export function act(turn: Turn, choice: number): void {
  const event = acts[choice];
  if (event !== undefined) turn.yield(event()).catch(() => undefined);
  else if (choice === acts.length) turn.throw(new Error("The agent broke"));
  else turn.return();
}
