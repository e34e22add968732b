import { type Message, Role } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ProcessorEvent } from "../domain/processor-event.ts";
import { sleep } from "../runtime/clock.ts";
import type { MessageContext, MessageProcessor, TaskContext } from "./message-processor.ts";
import { artifact, authRequired, completed, failed, inputRequired, rejected, textOf } from "./processor-events.ts";

/** Bounds on what a message may ask of the demo agent. */
const chunksMax = 1_000_000;
const chunkSizeMax = 100_000;
const pauseMsMax = 3_600_000;

/**
 * An agent to try things with. What it does depends on the first word of the message; `card` says what there is. It
 * takes text and JSON: other media types are refused before it sees them, since its card doesn't list them.
 */
export const demoProcessor: MessageProcessor = {
  card: {
    name: "Demo agent",
    description: "Echoes, streams, counts, asks, fails and rejects on request",
    version: "1.0.0",
    capabilities: { streaming: true },
    defaultInputModes: ["text/plain", "application/json"],
    defaultOutputModes: ["text/plain"],
    skills: [
      skill("echo", "anything else", "Completes with the text in an artifact"),
      skill("stream", "stream N [SIZE]", "One artifact in N chunks of SIZE characters, 40 unless given"),
      skill("count", "count N MS", "The same with a chunk every MS milliseconds"),
      skill("ask", "ask QUESTION", "Asks for input; the next message completes"),
      skill("auth", "auth REASON", "Asks for authorization; the next message completes"),
      skill("fail", "fail TEXT", "Fails"),
      skill("reject", "reject TEXT", "Rejects"),
      skill("reply", "reply TEXT", "Answers with a bare message, without a task"),
    ],
  },

  async answerMessage({ message }: MessageContext) {
    const text = textOf(message);
    return commandOf(text) === "reply" ? { parts: [{ text: restOf(text) || "reply" }] } : undefined;
  },

  async *processMessage(context: TaskContext) {
    const text = textOf(context.message);
    // The answer to a question completes the task, whatever it says.
    if (await answersQuestion(context)) {
      yield* echo(text);
      return;
    }
    switch (commandOf(text)) {
      case "stream":
      case "count":
        yield* chunks(context, text);
        return;
      case "ask":
        yield inputRequired(restOf(text) || "What else?");
        return;
      case "auth":
        yield authRequired(restOf(text) || "May I?");
        return;
      case "fail":
        yield failed(restOf(text) || "As requested");
        return;
      case "reject":
        yield rejected(restOf(text) || "As requested");
        return;
      default:
        yield* echo(text);
    }
  },
};

function skill(id: string, usage: string, description: string) {
  return { id, name: usage, description, tags: ["demo"] };
}

function commandOf(text: string): string {
  return text.trim().split(/\s+/, 1)[0]?.toLowerCase() ?? "";
}

function restOf(text: string): string {
  return text.trim().replace(/^\S+\s*/, "");
}

async function answersQuestion({ task, message }: TaskContext): Promise<boolean> {
  const { history } = await task();
  const place = history.findIndex(({ messageId }) => messageId === message.messageId);
  return history.slice(0, place).some((earlier: Message) => earlier.role === Role.AGENT);
}

async function* echo(text: string): AsyncIterable<ProcessorEvent> {
  yield artifact({ artifactId: "echo", name: "Echo", parts: [{ text }] }, { lastChunk: true });
  yield completed();
}

/** `stream N [SIZE]` and `count N MS`. */
async function* chunks({ signal, clock }: TaskContext, command: string): AsyncIterable<ProcessorEvent> {
  const [verb = "", ...words] = command.trim().split(/\s+/);
  const paced = verb.toLowerCase() === "count";
  const count = numberOf(words[0], 1, chunksMax);
  const second = paced ? numberOf(words[1] ?? "1000", 0, pauseMsMax) : numberOf(words[1] ?? "40", 1, chunkSizeMax);
  if (count === undefined || second === undefined || words.length > 2) {
    const usage = paced ? `count N MS, MS up to ${pauseMsMax}` : `stream N [SIZE], SIZE from 1 to ${chunkSizeMax}`;
    yield failed(`Expected: ${usage}; N from 1 to ${chunksMax}`);
    return;
  }
  const size = paced ? 40 : second;
  for (let index = 1; index <= count; index++) {
    if (paced) await sleep(clock, second, signal);
    const text = `${index} `.padEnd(size, "·").slice(0, size);
    yield artifact({ artifactId: "chunks", parts: [{ text }] }, { append: index > 1, lastChunk: index === count });
  }
  yield completed();
}

function numberOf(word: string | undefined, least: number, most: number): number | undefined {
  const value = Number(word);
  return word !== undefined && Number.isInteger(value) && value >= least && value <= most ? value : undefined;
}
