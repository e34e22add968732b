import type { MessageProcessor, TaskContext } from "../src/agent/message-processor.ts";
import { artifact, completed, inputRequired, textOf } from "../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../src/domain/processor-event.ts";

/** What an artifact chunk of the benchmarks says: 40 characters. */
export const chunkText = "The quick brown fox jumps over the dogs.";

/**
 * The agent of all benchmarks: `done` completes at once, `stream N` yields N chunks as fast as they are taken, `durable
 * N` too, but waits for each to be durable, `ask` asks for input. It doesn't sniff at messages first (`answerMessage`),
 * which would be one more step for each.
 */
export const agent: MessageProcessor = {
  async *processMessage(context: TaskContext): AsyncIterable<ProcessorEvent> {
    const [command, count] = textOf(context.message).split(" ");
    switch (command) {
      case "stream":
      case "durable":
        for (let index = 0; index < Number(count); index++) {
          yield artifact(
            { artifactId: "chunks", parts: [{ content: { case: "text", value: chunkText } }] },
            { append: index > 0 },
          );
          if (command === "durable") await context.committed();
        }
        return;
      case "ask":
        yield inputRequired("What else?");
        return;
      default:
        yield completed("Done");
    }
  },
};

/** Answers every message with a message, without a task. */
export const replyingAgent: MessageProcessor = {
  async answerMessage({ message }) {
    return { parts: message.parts };
  },
  async *processMessage() {
    yield completed();
  },
};
