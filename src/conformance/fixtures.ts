import { strict as assert } from "node:assert";
import { createHash, randomFillSync, randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  Role,
  type TaskPushNotificationConfig,
  TaskPushNotificationConfigSchema,
  TaskState,
} from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { EntrySchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import type { Scope, TaskKey } from "../domain/scope.ts";
import type {
  AppendResult,
  MessageClaim,
  MessagePointer,
  Storage,
  StoredEntry,
  StoredTask,
  TaskAppend,
} from "../storage/storage.ts";
import type { StorageError } from "../storage/storage-error.ts";

export const scope: Scope = { tenant: "tenant", owner: "owner" };

export function taskKey(taskId: string, of: Scope = scope): TaskKey {
  return { tenant: of.tenant, owner: of.owner, taskId };
}

// ── Entries and messages ──

/** An encoded entry that accepts a message. */
export function messageEntry(messageId: string, text = messageId): Uint8Array {
  return toBinary(
    EntrySchema,
    create(EntrySchema, { body: { case: "message", value: { message: messageOf(messageId, text) } } }),
  );
}

/** An encoded entry that creates a task with a message. */
export function createdEntry(messageId: string, text = messageId): Uint8Array {
  const task = { status: { state: TaskState.SUBMITTED }, history: [messageOf(messageId, text)] };
  return toBinary(EntrySchema, create(EntrySchema, { body: { case: "created", value: { task } } }));
}

/** An encoded entry whose status update says something. */
export function statusEntry(messageId: string, text = messageId): Uint8Array {
  const status = { state: TaskState.WORKING, message: messageOf(messageId, text) };
  return toBinary(EntrySchema, create(EntrySchema, { body: { case: "statusUpdate", value: { status } } }));
}

/** An entry that holds nothing but a text. */
export function textEntry(text: string): Uint8Array {
  const value = { name: "text", value: { kind: { case: "stringValue" as const, value: text } } };
  return toBinary(EntrySchema, create(EntrySchema, { body: { case: "stepResult", value } }));
}

/** An entry of exactly that many bytes (from 6 on) that don't compress: one field that no release knows. */
export function fillerEntry(size: number): Uint8Array {
  const entry = new Uint8Array(size);
  randomFillSync(entry);
  const length = size - 6;
  // Field 15, length-delimited; the length as a varint stretched to 5 bytes, so that any size can be had.
  entry.set([
    0x7a,
    (length & 0x7f) | 0x80,
    ((length >>> 7) & 0x7f) | 0x80,
    ((length >>> 14) & 0x7f) | 0x80,
    ((length >>> 21) & 0x7f) | 0x80,
  ]);
  entry[5] = length >>> 28;
  return entry;
}

export function messageOf(messageId: string, text = messageId, contextId = ""): Message {
  return create(MessageSchema, {
    messageId,
    contextId,
    role: Role.USER,
    parts: [{ content: { case: "text", value: text } }],
  });
}

/** The text of a message that `messageOf` made. */
export function textOf(message: Message | undefined): string | undefined {
  const content = message?.parts[0]?.content;
  return content?.case === "text" ? content.value : undefined;
}

export function configOf(id: string, url = "https://example.org/push"): TaskPushNotificationConfig {
  return create(TaskPushNotificationConfigSchema, { id, url });
}

export function idsOf(messages: readonly Message[]): readonly string[] {
  return messages.map(({ messageId }) => messageId);
}

// ── Appends ──

/** What a log ends with. */
export type Position = TaskAppend["after"];

export interface AppendParts {
  /** Default: one text. */
  readonly entries?: readonly Uint8Array[];
  /** The id of the batch. Default: a random one. */
  readonly batch?: string;
  /** Default: WORKING. */
  readonly state?: TaskState;
  readonly statusTimeMs?: number;
  readonly replica?: string;
  readonly pending?: boolean;
  /** Default: as before, from 1. */
  readonly fence?: bigint;
  readonly summary?: Uint8Array;
  readonly messages?: readonly MessagePointer[];
  readonly handled?: readonly string[];
  /** Only for a task to be created. */
  readonly contextId?: string;
  readonly claim?: MessageClaim;
}

/** Where a task begins. */
export const nothing: Position = { head: 0n, batch: "", fence: 0n };

/** An append after a position; after `nothing` it creates the task. */
export function appendOf(after: Position, parts: AppendParts = {}): TaskAppend {
  const creates = after.head === 0n;
  const summary = parts.summary ?? (creates ? new Uint8Array([1, 2, 3]) : undefined);
  return {
    after,
    batch: { id: parts.batch ?? randomUUID(), entries: parts.entries ?? [textEntry("entry")] },
    header: {
      state: parts.state ?? TaskState.WORKING,
      statusTimeMs: parts.statusTimeMs ?? 1_000_000,
      replica: parts.replica ?? "replica-1",
      fence: parts.fence ?? (after.fence === 0n ? 1n : after.fence),
      ...(parts.pending !== undefined && { pending: parts.pending }),
      ...(summary !== undefined && { summary }),
    },
    messages: parts.messages ?? [],
    handled: parts.handled ?? [],
    ...(creates && {
      create: { contextId: parts.contextId ?? "context", ...(parts.claim !== undefined && { claim: parts.claim }) },
    }),
  };
}

/** Appends, asserts that it was committed, and returns where the log ends now. */
export async function commit(
  storage: Storage,
  key: TaskKey,
  after: Position,
  parts: AppendParts = {},
): Promise<Position> {
  const append = appendOf(after, parts);
  const result = await storage.appendTask(key, append);
  const head = after.head + BigInt(append.batch.entries.length);
  assert.equal(result.outcome, "committed");
  assert.equal(committed(result).head, head);
  return { head, batch: append.batch.id, fence: append.header.fence };
}

/** Appends one message to a task and to its conversation's history; creates the task after `nothing`. */
export async function say(
  storage: Storage,
  key: TaskKey,
  after: Position,
  messageId: string,
  timeMs: number,
  parts: AppendParts = {},
): Promise<Position> {
  const entry = after.head === 0n ? createdEntry(messageId) : messageEntry(messageId);
  return commit(storage, key, after, { ...parts, entries: [entry], messages: [{ index: 0, messageId, timeMs }] });
}

export function committed(result: AppendResult): Extract<AppendResult, { outcome: "committed" }> {
  assert.equal(result.outcome, "committed");
  return result as Extract<AppendResult, { outcome: "committed" }>;
}

export function lost(result: AppendResult): Extract<AppendResult, { outcome: "lost" }> {
  assert.equal(result.outcome, "lost");
  return result as Extract<AppendResult, { outcome: "lost" }>;
}

export function claimOf(messageId: string, taskId: string, changes: Partial<MessageClaim> = {}): MessageClaim {
  return { messageId, contentHash: "a".repeat(64), taskId, windowMs: 3_600_000, ...changes };
}

/** Sets a conversation's last access, keeping its messages. */
export async function setLastAccess(
  storage: Storage,
  contextId: string,
  lastAccessTime: Date,
  of: Scope = scope,
): Promise<void> {
  const messageIds = (await storage.getConversation(of, contextId))?.messageIds ?? [];
  await storage.storeConversation(of, { contextId, messageIds, lastAccessTime });
}

// ── Reading and asserting ──

/** A task that must be there. */
export async function taskOf(
  storage: Storage,
  key: TaskKey,
  options?: { readonly snapshot?: boolean },
): Promise<StoredTask> {
  const task = await storage.getTask(key, options);
  assert.ok(task, `There is no task "${key.taskId}"`);
  return task;
}

/** The whole log, in pages of `bytesMax`; asserts that it is dense. */
export async function readAll(storage: Storage, key: TaskKey, bytesMax = 1024 * 1024): Promise<readonly StoredEntry[]> {
  const entries: StoredEntry[] = [];
  for (;;) {
    const page = await storage.readTask(key, BigInt(entries.length), bytesMax);
    if (page.length === 0) {
      return entries;
    }
    for (const entry of page) {
      entries.push(entry);
      assert.equal(entry.sequence, BigInt(entries.length), "The log isn't dense");
    }
  }
}

/** Engines may hand out Buffers, so the type of the arrays isn't compared. */
export function assertBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(actual, "There are no bytes");
  assert.equal(actual.byteLength, expected.byteLength);
  assert.ok(Buffer.compare(actual, expected) === 0, "The bytes differ");
}

/** What stands for bytes where they are compared as part of something larger. */
export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function assertEntries(actual: readonly StoredEntry[], expected: readonly Uint8Array[]): void {
  assert.equal(actual.length, expected.length);
  for (const [index, entry] of actual.entries()) {
    assertBytes(entry.bytes, expected[index] as Uint8Array);
  }
}

/** Compares all of two messages, unknown fields included. */
export function assertMessage(actual: Message | undefined, expected: Message): void {
  assert.ok(actual, `There is no message "${expected.messageId}"`);
  assertBytes(toBinary(MessageSchema, actual), toBinary(MessageSchema, expected));
}

/** A message with a field that no release knows. */
export function messageWithUnknownField(messageId: string, contextId: string): Message {
  const unknown = new Uint8Array([0xfa, 0x3f, 3, 1, 2, 3]);
  return fromBinary(
    MessageSchema,
    Buffer.concat([toBinary(MessageSchema, messageOf(messageId, messageId, contextId)), unknown]),
  );
}

/** Asserts that a call fails with a `StorageError` of that code and the outcome "none". `what` names the call. */
export async function assertFails(code: StorageError["code"], call: () => unknown, what = "The call"): Promise<void> {
  await assert.rejects(
    async () => call(),
    (error) => {
      assert.ok(error instanceof Error);
      assert.equal(error.name, "StorageError", `${what}: ${error.name}: ${error.message}`);
      assert.equal((error as StorageError).code, code, what);
      assert.equal((error as StorageError).outcome, "none", what);
      return true;
    },
    `${what} didn't fail`,
  );
}

/** Asks again and again until something holds; fails after 10 seconds, which no storage should need. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `It never came to be that ${what}`);
    await setTimeout(5);
  }
}
