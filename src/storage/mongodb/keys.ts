import { createHash, randomBytes } from "node:crypto";
import { Binary, Long } from "mongodb";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import { hashKey } from "../key.ts";

/**
 * The keys of records. BSON orders binaries by length first and then by bytes, so keys of different lengths form
 * separate ranges of one collection.
 */

export function taskKey({ tenant, owner, taskId }: TaskKey): Binary {
  return new Binary(hashKey(tenant, owner, taskId));
}

export function conversationKey({ tenant, owner }: Scope, contextId: string): Binary {
  return new Binary(hashKey(tenant, owner, contextId));
}

export function scopeKey({ tenant, owner }: Scope): Binary {
  return new Binary(hashKey(tenant, owner));
}

export function messageKey({ tenant, owner }: Scope, messageId: string): Binary {
  return new Binary(hashKey(tenant, owner, messageId));
}

/** A new unique id. */
export function newId(): Binary {
  return new Binary(randomBytes(16));
}

export function segmentKey(log: Binary, first: number): Binary {
  return joined(log, uint64(first));
}

export function pieceKey(log: Binary, id: Binary, index: number): Binary {
  return joined(log, bytesOf(id), uint64(index));
}

export function blobKey(log: Binary): Binary {
  return joined(log, randomBytes(16));
}

export function pointerKey(log: Binary, sequence: number, batch: string): Binary {
  return joined(log, uint64(sequence), createHash("sha256").update(batch).digest().subarray(0, 8));
}

export function bareMessageKey(incarnation: Binary, messageId: string): Binary {
  return joined(incarnation, hashKey(messageId));
}

export function configKey(log: Binary, configId: string): Binary {
  return joined(log, hashKey(configId));
}

/** The lengths of keys, for ranges. */
export const keyBytes = { segment: 24, piece: 40, blob: 32, pointer: 32, config: 48 } as const;

/** The range of all keys of one length that begin with a log's id. */
export function keysOf(log: Binary, length: number): { readonly $gte: Binary; readonly $lte: Binary } {
  const rest = length - log.length();
  return { $gte: joined(log, Buffer.alloc(rest)), $lte: joined(log, Buffer.alloc(rest, 0xff)) };
}

export function sequenceOfSegment(key: Binary): number {
  return Number(Buffer.from(bytesOf(key)).readBigUInt64BE(16));
}

export function bytesOf(binary: Binary): Uint8Array {
  return binary.position === binary.buffer.byteLength ? binary.buffer : binary.buffer.subarray(0, binary.position);
}

/** A string for use as a key of a Map: equal for equal keys. */
export function nameOf(key: Binary): string {
  return Buffer.from(bytesOf(key)).toString("latin1");
}

export function sameKey(a: Binary | undefined, b: Binary | undefined): boolean {
  return a !== undefined && b !== undefined && Buffer.compare(bytesOf(a), bytesOf(b)) === 0;
}

export function longOf(value: bigint): Long {
  return Long.fromBigInt(value);
}

/** The driver returns longs in the range of safe integers as numbers. */
export function bigintOf(value: Long | number): bigint {
  return typeof value === "number" ? BigInt(value) : value.toBigInt();
}

function joined(log: Binary, ...parts: readonly Uint8Array[]): Binary {
  return new Binary(Buffer.concat([bytesOf(log), ...parts]));
}

function uint64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64BE(BigInt(value));
  return bytes;
}
