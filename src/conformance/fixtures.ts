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

/** An encoded entry with a status update that has a message. */
export function statusEntry(messageId: string, text = messageId): Uint8Array {
  const status = { state: TaskState.WORKING, message: messageOf(messageId, text) };
  return toBinary(EntrySchema, create(EntrySchema, { body: { case: "statusUpdate", value: { status } } }));
}

/** An encoded entry with only a text. */
export function textEntry(text: string): Uint8Array {
  const value = { name: "text", value: { kind: { case: "stringValue" as const, value: text } } };
  return toBinary(EntrySchema, create(EntrySchema, { body: { case: "stepResult", value } }));
}

/** An entry of exactly `size` bytes (at least 6) that don't compress: one unknown field. */
export function fillerEntry(size: number): Uint8Array {
  const entry = new Uint8Array(size);
  randomFillSync(entry);
  const length = size - 6;
  // Field 15, length-delimited. The length is a varint of always 5 bytes, so every size is possible.
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

/** The end of a log. */
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
  /** Only for an append that creates a task. */
  readonly contextId?: string;
  readonly claim?: MessageClaim;
}

/** The position before a task exists. */
export const nothing: Position = { head: 0n, batch: "", fence: 0n };

/** An append after a position. After `nothing` it creates the task. */
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

/** Appends, asserts that the append was committed, and returns the new position. */
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

/** Appends one message to a task and to its conversation's history. After `nothing` it creates the task. */
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

/** Sets a conversation's last access and keeps its messages. */
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

/** A task that must exist. */
export async function taskOf(
  storage: Storage,
  key: TaskKey,
  options?: { readonly snapshot?: boolean },
): Promise<StoredTask> {
  const task = await storage.getTask(key, options);
  assert.ok(task, `There is no task "${key.taskId}"`);
  return task;
}

/** The whole log, read in pages of `bytesMax`. Asserts that it has no holes. */
export async function readAll(storage: Storage, key: TaskKey, bytesMax = 1024 * 1024): Promise<readonly StoredEntry[]> {
  const entries: StoredEntry[] = [];
  for (;;) {
    const page = await storage.readTask(key, BigInt(entries.length), bytesMax);
    if (page.length === 0) {
      return entries;
    }
    for (const entry of page) {
      entries.push(entry);
      assert.equal(entry.sequence, BigInt(entries.length), "The log has a hole");
    }
  }
}

/** Compares bytes but not the class of the arrays: engines may return Buffers. */
export function assertBytes(actual: Uint8Array | undefined, expected: Uint8Array): void {
  assert.ok(actual, "There are no bytes");
  assert.equal(actual.byteLength, expected.byteLength);
  assert.ok(Buffer.compare(actual, expected) === 0, "The bytes differ");
}

/** A digest, to compare bytes as part of a larger object. */
export function digestOf(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

export function assertEntries(actual: readonly StoredEntry[], expected: readonly Uint8Array[]): void {
  assert.equal(actual.length, expected.length);
  for (const [index, entry] of actual.entries()) {
    assertBytes(entry.bytes, expected[index] as Uint8Array);
  }
}

/** Compares two messages, including unknown fields. */
export function assertMessage(actual: Message | undefined, expected: Message): void {
  assert.ok(actual, `There is no message "${expected.messageId}"`);
  assertBytes(toBinary(MessageSchema, actual), toBinary(MessageSchema, expected));
}

/** A message with an unknown field. */
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

/** Repeats `holds` until it is true. Fails after 10 seconds. */
export async function eventually(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000;
  while (!(await holds())) {
    assert.ok(performance.now() < deadline, `Timed out waiting until ${what}`);
    await setTimeout(5);
  }
}
