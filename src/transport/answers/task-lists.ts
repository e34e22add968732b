import { create, toBinary, toJson } from "@bufbuild/protobuf";
import {
  type Artifact,
  ArtifactSchema,
  MessageSchema,
  type Part,
  PartSchema,
  type Task,
  TaskSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { writeJson } from "../proto-json/write-json.ts";

/** Bytes in pieces. Nobody changes them: the answers that show a task share them. */
export interface Pieces {
  readonly pieces: readonly Uint8Array[];
  readonly bytes: number;
}

/** Bytes that are encoded in one turn of the event loop, so that other calls go on meanwhile. */
const turnBytes = 512 * 1024;
/** The most parts that are encoded at once, however small they are. */
const groupMax = 1024;

/** Encodings of the lists of tasks, by the list of artifacts. They live as long as an answer uses that list. */
const encodings = {
  binary: new WeakMap<object, Promise<Pieces>>(),
  artifactsJson: new WeakMap<object, Promise<Pieces>>(),
  historyJson: new WeakMap<object, Promise<Pieces>>(),
};

/** The artifacts and the history of a task in protobuf, encoded once. `made` gets the bytes if they are encoded now. */
export function binaryLists({ artifacts, history }: Task, made: (bytes: number) => void): Promise<Pieces> {
  return once(encodings.binary, artifacts, made, async (into) => {
    for (const artifact of artifacts) {
      const { pieces, bytes } = await collected(async (parts) => {
        parts.add(toBinary(ArtifactSchema, withParts(artifact, [])));
        for (const group of groupsOf(artifact.parts, parts))
          await parts.addInTurn(toBinary(ArtifactSchema, create(ArtifactSchema, { parts: group })));
      });
      into.add(fieldHead(TaskSchema.field.artifacts.number, bytes));
      for (const piece of pieces) into.add(piece);
    }
    for (const message of history)
      await into.addInTurn(toBinary(TaskSchema, create(TaskSchema, { history: [message] })));
  });
}

/** The elements of the list of artifacts as A2A's JSON, encoded once. */
export function artifactsJson({ artifacts }: Task, made: (bytes: number) => void): Promise<Pieces> {
  return once(encodings.artifactsJson, artifacts, made, async (into) => {
    for (const [index, artifact] of artifacts.entries()) {
      const text = writeJson(ArtifactSchema, withParts(artifact, [placeholderPart]));
      const [before = "", after = ""] = text.split(placeholderPartJson);
      into.add(Buffer.from(index === 0 ? before : `,${before}`));
      let separator = "";
      for (const group of groupsOf(artifact.parts, into)) {
        const json = group.map((part) => writeJson(PartSchema, part)).join(",");
        await into.addInTurn(Buffer.from(separator + json));
        separator = ",";
      }
      into.add(Buffer.from(after));
    }
  });
}

/** The elements of the history as A2A's JSON, encoded once. */
export function historyJson({ history }: Task, made: (bytes: number) => void): Promise<Pieces> {
  return once(encodings.historyJson, history, made, async (into) => {
    for (const [index, message] of history.entries())
      await into.addInTurn(Buffer.from(`${index === 0 ? "" : ","}${writeJson(MessageSchema, message)}`));
  });
}

/** Stands for the parts of an artifact while the rest of it is written. No client knows its text. */
const placeholderPart = create(PartSchema, { content: { case: "text", value: crypto.randomUUID() } });
const placeholderPartJson = JSON.stringify(toJson(PartSchema, placeholderPart));

function withParts(artifact: Artifact, parts: Part[]): Artifact {
  return Object.assign(create(ArtifactSchema), artifact, { parts });
}

/** The tag and the length in front of a message in a field. */
export function fieldHead(field: number, bytes: number): Uint8Array {
  const head: number[] = [];
  for (let rest of [field * 8 + 2, bytes]) {
    for (; rest >= 0x80; rest = Math.floor(rest / 0x80)) head.push((rest % 0x80) | 0x80);
    head.push(rest);
  }
  return Uint8Array.from(head);
}

function once(
  made: WeakMap<object, Promise<Pieces>>,
  list: object,
  count: (bytes: number) => void,
  encode: (into: Collector) => Promise<void>,
): Promise<Pieces> {
  const known = made.get(list);
  if (known !== undefined) return known;
  const encoding = collected(encode).then((pieces) => {
    count(pieces.bytes);
    return pieces;
  });
  made.set(list, encoding);
  encoding.catch(() => made.delete(list));
  return encoding;
}

async function collected(encode: (into: Collector) => Promise<void>): Promise<Pieces> {
  const collector = new Collector();
  await encode(collector);
  return collector.finish();
}

/** Joins small encodings to pieces, and gives way to other calls between them. */
class Collector {
  readonly #pieces: Uint8Array[] = [];
  #bytes = 0;
  #small: Uint8Array[] = [];
  #smallBytes = 0;
  #turnBytes = 0;
  /** Bytes of the last encoding, by which the size of the next group is chosen. */
  lastBytes = 0;

  add(bytes: Uint8Array): void {
    this.#bytes += bytes.byteLength;
    this.#turnBytes += bytes.byteLength;
    this.lastBytes = bytes.byteLength;
    this.#small.push(bytes);
    this.#smallBytes += bytes.byteLength;
    if (this.#smallBytes >= turnBytes) this.#join();
  }

  async addInTurn(bytes: Uint8Array): Promise<void> {
    this.add(bytes);
    if (this.#turnBytes < turnBytes) return;
    this.#turnBytes = 0;
    await new Promise((resolve) => setImmediate(resolve));
  }

  finish(): Pieces {
    this.#join();
    return { pieces: this.#pieces, bytes: this.#bytes };
  }

  #join(): void {
    const [first] = this.#small;
    if (first !== undefined) this.#pieces.push(this.#small.length === 1 ? first : Buffer.concat(this.#small));
    this.#small = [];
    this.#smallBytes = 0;
  }
}

/** Parts in groups: one at a time while they are large, many together while they are small. */
function* groupsOf(parts: readonly Part[], collector: Collector): Generator<Part[]> {
  for (let start = 0, size = 1; start < parts.length; ) {
    const group = parts.slice(start, start + size);
    yield group;
    start += group.length;
    if (collector.lastBytes < turnBytes / 16) size = Math.min(groupMax, size * 2);
    else if (collector.lastBytes > turnBytes / 2) size = Math.max(1, Math.floor(size / 2));
  }
}
