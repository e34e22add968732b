import type { MessageContext, MessageProcessor, TaskContext } from "../../src/agent/message-processor.ts";
import { textOf } from "../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";

type Command =
  | {
      readonly kind: "yield";
      readonly event: ProcessorEvent;
      readonly taken: () => void;
      readonly refused: (error: unknown) => void;
    }
  | { readonly kind: "return" }
  | { readonly kind: "throw"; readonly error: unknown };

/** One turn of a scripted agent: the test says what it yields and when it ends. */
export class Turn {
  readonly context: TaskContext;
  /** The generator is through, or was told to end. */
  over = false;
  #commands: Command[] = [];
  #wake: () => void = () => {};

  constructor(context: TaskContext) {
    this.context = context;
  }

  get text(): string {
    return textOf(this.context.message);
  }

  /** Resolves when the yield has returned, rejects with what was thrown at it. */
  yield(event: ProcessorEvent): Promise<void> {
    return new Promise((resolve, reject) => this.#push({ kind: "yield", event, taken: resolve, refused: reject }));
  }

  return(): void {
    this.#push({ kind: "return" });
  }

  throw(error: unknown): void {
    this.#push({ kind: "throw", error });
  }

  /** The reason for which the turn was told to stop; undefined if it wasn't. */
  get told(): unknown {
    return this.context.signal.aborted ? this.context.signal.reason : undefined;
  }

  async *run(): AsyncGenerator<ProcessorEvent> {
    try {
      for (;;) {
        while (this.#commands.length === 0) await new Promise<void>((resolve) => (this.#wake = resolve));
        const command = this.#commands.shift() as Command;
        if (command.kind === "return") return;
        if (command.kind === "throw") throw command.error;
        try {
          yield command.event;
        } catch (error) {
          command.refused(error);
          continue;
        }
        command.taken();
      }
    } finally {
      this.over = true;
    }
  }

  #push(command: Command): void {
    this.#commands.push(command);
    this.#wake();
  }
}

/** An agent whose turns the test plays. */
export class ScriptedAgent implements MessageProcessor {
  readonly turns: Turn[] = [];
  readonly onLost?: "fail" | "resume";
  readonly whileWorking: "enqueue" | "reject";
  #waiters: (() => void)[] = [];

  /** "undeclared": it leaves to the task manager what becomes of its lost turns. */
  constructor({
    onLost = "fail",
    whileWorking = "enqueue",
  }: { onLost?: "fail" | "resume" | "undeclared"; whileWorking?: "enqueue" | "reject" } = {}) {
    if (onLost !== "undeclared") this.onLost = onLost;
    this.whileWorking = whileWorking;
  }

  processMessage(context: TaskContext): AsyncIterable<ProcessorEvent> {
    const turn = new Turn(context);
    this.turns.push(turn);
    for (const waiter of this.#waiters.splice(0)) waiter();
    return turn.run();
  }

  /** Turn number `index`, from 0, once it has begun. */
  async turn(index = 0): Promise<Turn> {
    for (;;) {
      const turn = this.turns[index];
      if (turn !== undefined) return turn;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }
}

/** An agent that is one generator function. */
export function agent(
  run: (context: TaskContext) => AsyncIterable<ProcessorEvent>,
  rest: Omit<MessageProcessor, "processMessage"> = {},
): MessageProcessor {
  return { processMessage: run, ...rest };
}

/** An agent that yields nothing, and completes once `run` has resolved. */
export function silent(
  run: (context: TaskContext) => Promise<unknown>,
  rest: Omit<MessageProcessor, "processMessage"> = {},
): MessageProcessor {
  return agent(async function* (context) {
    await run(context);
    yield* [];
  }, rest);
}

/**
 * An agent that answers without a task what `answer` gives an answer to; everything else becomes a task that completes
 * at once.
 */
export function answering(
  answer: (context: MessageContext) => ReturnType<NonNullable<MessageProcessor["answerMessage"]>>,
): MessageProcessor {
  return silent(async () => {}, { answerMessage: answer });
}
