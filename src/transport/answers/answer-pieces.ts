import { create, type DescMessage, type Message, toBinary } from "@bufbuild/protobuf";
import { ArtifactSchema, MessageSchema, PartSchema, type Task, TaskSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { writeJson } from "../proto-json/write-json.ts";
import { taskIn, withoutLists } from "./task-in.ts";
import { artifactsJson, binaryLists, fieldHead, historyJson, type Pieces } from "./task-lists.ts";

/** Counts bytes of an encoding that was made now. */
export type CountMade = (bytes: number) => void;

/**
 * An answer in protobuf, in pieces. The lists of the task inside are encoded once for all answers that show it. An
 * answer without one task is encoded as a whole.
 */
export async function binaryPieces(schema: DescMessage, message: Message, made: CountMade): Promise<Pieces> {
  const found = taskIn(message);
  if (found === undefined) return counted([toBinary(schema, message)], made);
  const lists = await binaryLists(found.task, made);
  // The fields of a message may stand in any order, so the lists may follow all others.
  let head: Uint8Array = toBinary(TaskSchema, withoutLists(found.task));
  for (const { schema: outer, without, field } of found.around.toReversed()) {
    head = Buffer.concat([toBinary(outer, without), fieldHead(field, head.byteLength + lists.bytes), head]);
  }
  return asPieces([head, ...lists.pieces]);
}

/**
 * An answer in JSON, in pieces. `write` makes the text of a message with all that stands around it. The lists of the
 * task inside are encoded once for all answers that show it. A text in another form than A2A 1.0 is made as a whole.
 */
export async function jsonPieces(
  message: Message,
  write: (message: Message) => string,
  made: CountMade,
): Promise<Pieces> {
  const task = taskIn(message)?.task;
  const split = task && splitText(write(withPlaceholders(message, task)), task);
  if (split === undefined) return counted([Buffer.from(write(message))], made);
  const pieces: Uint8Array[] = [];
  for (const { text, list } of split) {
    pieces.push(Buffer.from(text));
    if (list !== undefined) for (const piece of (await list(made)).pieces) pieces.push(piece);
  }
  return asPieces(pieces);
}

/** Stand for the elements of a list while the rest of a message is written. No client knows their texts. */
const parts = [create(PartSchema, { content: { case: "text", value: "" } })];
const placeholderArtifact = create(ArtifactSchema, { artifactId: crypto.randomUUID(), parts });
const placeholderMessage = create(MessageSchema, { messageId: crypto.randomUUID(), parts });
const placeholderTexts = {
  artifacts: writeJson(ArtifactSchema, placeholderArtifact),
  history: writeJson(MessageSchema, placeholderMessage),
};

function withPlaceholders(message: Message, task: Task): Message {
  const held = Object.assign(withoutLists(task), {
    artifacts: task.artifacts.length > 0 ? [placeholderArtifact] : [],
    history: task.history.length > 0 ? [placeholderMessage] : [],
  });
  return taskIn(message)?.with(held) ?? message;
}

interface TextBeforeList {
  readonly text: string;
  /** What follows the text. Undefined at the end. */
  readonly list?: (made: CountMade) => Promise<Pieces>;
}

/** The text around the lists, which stand in the order of their fields. Undefined if it isn't of A2A 1.0. */
function splitText(text: string, task: Task): readonly TextBeforeList[] | undefined {
  const split: TextBeforeList[] = [];
  let rest = text;
  for (const [name, list] of [
    ["artifacts", (made: CountMade) => artifactsJson(task, made)],
    ["history", (made: CountMade) => historyJson(task, made)],
  ] as const) {
    if (task[name].length === 0) continue;
    const [before = "", after, more] = rest.split(placeholderTexts[name]);
    if (after === undefined || more !== undefined) return undefined;
    split.push({ text: before, list });
    rest = after;
  }
  return [...split, { text: rest }];
}

function counted(pieces: readonly Uint8Array[], made: CountMade): Pieces {
  const whole = asPieces(pieces);
  made(whole.bytes);
  return whole;
}

function asPieces(pieces: readonly Uint8Array[]): Pieces {
  return { pieces, bytes: pieces.reduce((sum, { byteLength }) => sum + byteLength, 0) };
}
