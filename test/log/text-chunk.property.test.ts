import { create } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import {
  type Artifact,
  ArtifactSchema,
  PartSchema,
  type TaskArtifactUpdateEvent,
  TaskArtifactUpdateEventSchema,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { makeEntry } from "../../src/domain/entry.ts";
import { textChunkLengthMax } from "../../src/domain/limits.ts";
import { decodeEntry, encodeEntry, storeEntry } from "../../src/log/entry-codec.ts";
import { storeTextChunk } from "../../src/log/text-chunk.ts";

const ids = { taskId: "task", contextId: "context" };

function entryOf(update: TaskArtifactUpdateEvent, timeMs = 1_700_000_000_000) {
  return makeEntry(timeMs, { case: "artifactUpdate", value: update });
}

/** A chunk of one text part, with what the text and the change make of it. */
function chunk(
  text: string,
  change: (update: TaskArtifactUpdateEvent, artifact: Artifact) => void = () => {},
): TaskArtifactUpdateEvent {
  const artifact = create(ArtifactSchema, { artifactId: "a", parts: [{ content: { case: "text", value: text } }] });
  const update = create(TaskArtifactUpdateEventSchema, { artifact });
  change(update, artifact);
  return update;
}

const anyText = fc.oneof(
  fc.string({ unit: "binary", maxLength: 300 }),
  fc.string({ unit: "grapheme", maxLength: 60 }),
  fc.constantFrom("", "x".repeat(127), "x".repeat(128), "é".repeat(64), "x".repeat(textChunkLengthMax)),
);

test("a text chunk is stored as protobuf-es would store it, and reads back so", () => {
  const arbitrary = fc.record({
    artifactId: anyText,
    text: anyText,
    mediaType: anyText,
    append: fc.boolean(),
    lastChunk: fc.boolean(),
    timeMs: fc.integer({ min: 0, max: 2 ** 48 }),
  });
  fc.assert(
    fc.property(arbitrary, ({ artifactId, text, mediaType, append, lastChunk, timeMs }) => {
      const artifact = create(ArtifactSchema, {
        artifactId,
        parts: [{ content: { case: "text", value: text }, mediaType }],
      });
      const entry = entryOf(create(TaskArtifactUpdateEventSchema, { artifact, append, lastChunk }), timeMs);
      const encoded = encodeEntry(entry);
      expect(storeTextChunk(entry, ids)).toEqual({ encoded, stored: decodeEntry(encoded, ids) });
    }),
    { numRuns: 500 },
  );
});

const unknown = [{ no: 99, wireType: 0 as const, data: new Uint8Array([1]) }];
const part = (init: Parameters<typeof create<typeof PartSchema>>[1]) => create(PartSchema, init);
const others: readonly { readonly name: string; readonly update: TaskArtifactUpdateEvent }[] = [
  { name: "metadata", update: chunk("x", (update) => Object.assign(update, { metadata: { a: [1] } })) },
  { name: "an unknown field", update: chunk("x", (update) => Object.assign(update, { $unknown: unknown })) },
  { name: "a name", update: chunk("x", (_, artifact) => Object.assign(artifact, { name: "n" })) },
  { name: "a description", update: chunk("x", (_, artifact) => Object.assign(artifact, { description: "d" })) },
  { name: "metadata of the artifact", update: chunk("x", (_, artifact) => Object.assign(artifact, { metadata: {} })) },
  { name: "extensions", update: chunk("x", (_, artifact) => artifact.extensions.push("e")) },
  {
    name: "an unknown field of the artifact",
    update: chunk("x", (_, artifact) => Object.assign(artifact, { $unknown: unknown })),
  },
  {
    name: "two parts",
    update: chunk("x", (_, artifact) => artifact.parts.push(part({ content: { case: "text", value: "y" } }))),
  },
  { name: "no part", update: chunk("x", (_, artifact) => artifact.parts.pop()) },
  {
    name: "a part of bytes",
    update: chunk("x", (_, artifact) =>
      artifact.parts.splice(0, 1, part({ content: { case: "raw", value: new Uint8Array([1]) } })),
    ),
  },
  {
    name: "a file name",
    update: chunk("x", (_, artifact) => Object.assign(artifact.parts[0] ?? {}, { filename: "f" })),
  },
  {
    name: "metadata of the part",
    update: chunk("x", (_, artifact) => Object.assign(artifact.parts[0] ?? {}, { metadata: { a: 1 } })),
  },
  {
    name: "an unknown field of the part",
    update: chunk("x", (_, artifact) => Object.assign(artifact.parts[0] ?? {}, { $unknown: unknown })),
  },
  { name: "half of a surrogate pair", update: chunk("x\ud83d") },
  { name: "a text above the bound", update: chunk("x".repeat(textChunkLengthMax + 1)) },
  { name: "a number for a text", update: chunk(5 as unknown as string) },
  { name: "a number for a flag", update: chunk("x", (update) => Object.assign(update, { append: 1 })) },
];

test.each(others)("$name is left to protobuf-es", ({ update }) => {
  const entry = entryOf(update);
  expect(storeTextChunk(entry, ids)).toBe(undefined);
  const encoded = encodeEntry(entry);
  expect(storeEntry(entry, ids)).toEqual({ encoded, stored: decodeEntry(encoded, ids) });
});

test("what is stored doesn't change with the agent's objects", () => {
  const update = chunk("before");
  const { encoded, stored } = storeEntry(entryOf(update), ids);
  const [own] = update.artifact?.parts ?? [];
  Object.assign(own?.content ?? {}, { value: "after" });
  update.artifact?.parts.pop();
  storeEntry(entryOf(chunk("another")), ids);
  expect(decodeEntry(encoded, ids)).toEqual(stored);
  expect(stored.body.case === "artifactUpdate" && stored.body.value.artifact?.parts[0]?.content.value).toBe("before");
});
