import { create } from "@bufbuild/protobuf";
import { ArtifactSchema, MessageSchema, Role, TaskArtifactUpdateEventSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Entry, SendOptionsSchema, TakeoverSchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { decideCreate } from "../../src/domain/decide.ts";
import { makeEntry } from "../../src/domain/entry.ts";
import type { TaskKey } from "../../src/domain/scope.ts";
import { type CreateResult, createTask } from "../../src/log/create-task.ts";
import { decodeEntry, encodeEntry } from "../../src/log/entry-codec.ts";
import { TaskWriter, type WriterOptions } from "../../src/log/task-writer.ts";
import type { Storage, StoredEntry } from "../../src/storage/storage.ts";
import { ManualClock } from "../runtime/manual-clock.ts";

export type Created = Extract<CreateResult, { outcome: "created" }>;

export const key: TaskKey = { tenant: "", owner: "", taskId: "task" };
export const contextId = "context";
export const unbounded = { eventBytesMax: Number.POSITIVE_INFINITY, taskBytesMax: Number.POSITIVE_INFINITY };

let ids = 0;
/** Unique within the test process. */
export const newId = (): string => `id-${ids++}`;

/** The first entry of a task. */
export function createdEntry(messageId = "first"): Entry {
  const message = create(MessageSchema, {
    messageId,
    role: Role.USER,
    parts: [{ content: { case: "text", value: "first" } }],
  });
  return decideCreate(contextId, message, create(SendOptionsSchema), { nowMs: 1_800_000_000_000, newId });
}

/** Adds a part to the one artifact; `text` tells entries apart. */
export function chunkEntry(text: string): Entry {
  const artifact = create(ArtifactSchema, { artifactId: "a", parts: [{ content: { case: "text", value: text } }] });
  return makeEntry(1_800_000_000_000, {
    case: "artifactUpdate",
    value: create(TaskArtifactUpdateEventSchema, { artifact, append: true }),
  });
}

export function textOf(entry: Entry): string {
  const value = entry.body.case === "artifactUpdate" ? entry.body.value.artifact?.parts[0]?.content.value : undefined;
  return typeof value === "string" ? value : `(${entry.body.case})`;
}

/** The task, in a storage that doesn't fail; owned by "replica" under fence 1. */
export async function createdTask(
  storage: Storage,
  entry = createdEntry(),
  context = contextId,
  of = key,
): Promise<Created> {
  const owner = { replica: "replica", fence: 1n };
  const result = await createTask(storage, of, entry, { contextId: context, owner, clock: new ManualClock(), newId });
  if (result.outcome !== "created") throw new Error(`The task was not created: ${result.outcome}`);
  return result;
}

/** What a writer needs that goes on from a task just created. */
export function writerOptions(
  storage: Storage,
  { fold, batch, created }: Created,
  changes: Partial<WriterOptions> = {},
): WriterOptions {
  return {
    storage,
    key,
    fold,
    batch,
    logBytes: created.bytes,
    snapshotBytes: 0,
    fence: 1n,
    owner: { replica: "replica", fence: 1n },
    limits: unbounded,
    clock: new ManualClock(),
    newId,
    onCommitted: () => {},
    onLost: () => {},
    onSnapshotFailed: () => {},
    ...changes,
  };
}

/** A writer over a task just created. */
export async function openWriter(
  storage: Storage,
  changes: Partial<WriterOptions> & { readonly healthy?: Storage } = {},
): Promise<TaskWriter> {
  return new TaskWriter(writerOptions(storage, await createdTask(changes.healthy ?? storage), changes));
}

/** What the entries of a log are about, in order. */
export async function loggedTexts(storage: Storage, of = key): Promise<readonly string[]> {
  return (await wholeLog(storage, of)).map(({ bytes }) => textOf(decodeEntry(bytes, { taskId: of.taskId, contextId })));
}

export async function wholeLog(storage: Storage, of = key): Promise<readonly StoredEntry[]> {
  return storage.readTask(of, 0n, Number.POSITIVE_INFINITY);
}

/** Names, from 0 on. */
export function texts(count: number, prefix = "e"): readonly string[] {
  return Array.from({ length: count }, (_, index) => `${prefix}${index}`);
}

/** Another replica appends a takeover: the present writer's condition is false from then on. */
export async function takeOver(storage: Storage, of = key): Promise<void> {
  for (let tries = 0; tries < 10; tries++) {
    const stored = await storage.getTask(of);
    if (stored === undefined) throw new Error("There is no task to take over");
    const { head, batch, fence, state, statusTimeMs } = stored;
    const entry = makeEntry(1_800_000_000_000, {
      case: "takeover",
      value: create(TakeoverSchema, { replica: "rival", fence: fence + 1n }),
    });
    const result = await storage.appendTask(of, {
      after: { head, batch, fence },
      batch: { id: newId(), entries: [encodeEntry(entry)] },
      header: { state, statusTimeMs, replica: "rival", fence: fence + 1n },
      messages: [],
      handled: [],
    });
    // The owner may have appended in between.
    if (result.outcome === "committed") return;
  }
  throw new Error("The task could not be taken over");
}
