import type { Binary, Document } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { Retention } from "../../storage.ts";
import { longOf, newId, scopeKey } from "../keys.ts";
import { foreverMs } from "../limits.ts";
import type { Pin } from "../records.ts";

/**
 * How conversations change: pipelines, so that every time in them is the database's own (`$$NOW`), never one that was
 * read before. Whatever comes from clients is under `$literal`: to a pipeline a string that begins with a dollar sign
 * is the name of a field.
 */

/** What an expression needs to know about how long conversations live. */
export interface LifeTimes {
  readonly ttlMs: number | undefined;
  readonly pinMs: number;
  readonly slackMs: number;
  readonly retention: Retention;
}

/**
 * A change of what holds a conversation. The later of two changes for a task by (fence, head) is the one that counts.
 */
export interface PinChange {
  readonly task: Binary;
  readonly fence: bigint;
  readonly head: number;
  /** "running": far ahead; a date: until then; undefined: not any more. */
  readonly until: "running" | Date | undefined;
}

export interface Touch {
  /** "now", or what it is set to; "keep": as it was. */
  readonly access: "now" | "keep" | Date;
  readonly pin?: PinChange | undefined;
  /** Messages added to its history, and messages without a task among them. */
  readonly said?: number;
  readonly stored?: number;
  /** Names this touch, for `undoStages`. */
  readonly token: Binary;
}

/**
 * Whether a conversation can be found. What the database may take away at any moment can't, nor what is past its time
 * by this process's retention, should the record come from a time with another.
 */
export function liveExpression(ttlMs: number | undefined, prefix = "$"): Document {
  const field = (name: string) => `${prefix}${name}`;
  const present = { $ne: [{ $type: field("incarnation") }, "missing"] };
  const kept = { $or: [{ $eq: [{ $type: field("expireAt") }, "missing"] }, { $gt: [field("expireAt"), "$$NOW"] }] };
  if (ttlMs === undefined) {
    return { $and: [present, kept] };
  }
  const accessed = { $gte: [{ $add: [field("lastAccess"), ttlMs] }, "$$NOW"] };
  return { $and: [present, kept, { $or: [accessed, { $gt: [field("pinnedUntil"), "$$NOW"] }] }] };
}

/** Makes the conversation if there is none that lives, in the place of one past its time, and touches it. */
export function ensureStages(
  scope: Scope,
  contextId: string,
  incarnation: Binary,
  times: LifeTimes,
  touch: Touch,
): Document[] {
  const fresh = {
    _id: "$_id",
    incarnation,
    scope: scopeKey(scope),
    tenant: { $literal: scope.tenant },
    owner: { $literal: scope.owner },
    contextId: { $literal: contextId },
    createdAt: "$$NOW",
    lastAccess: "$$NOW",
    pins: [],
    said: 0,
    stored: 0,
    ...(times.ttlMs !== undefined && { covered: { $add: ["$$NOW", times.ttlMs + times.slackMs] } }),
    // MongoDB removes what belonged to the old incarnation by itself if that had a time.
    replaced: { $cond: [{ $eq: [{ $type: "$expireAt" }, "missing"] }, "$incarnation", "$$REMOVE"] },
  };
  return [
    { $set: { live: liveExpression(times.ttlMs) } },
    { $replaceWith: { $cond: ["$live", "$$ROOT", fresh] } },
    { $unset: "live" },
    ...touchStages(times, touch),
  ];
}

/** Touches a conversation that is there. */
export function touchStages(times: LifeTimes, { access, pin, said = 0, stored = 0, token }: Touch): Document[] {
  return [
    {
      $set: {
        touch: token,
        previous: {
          lastAccess: "$lastAccess",
          pin:
            pin === undefined
              ? "$$REMOVE"
              : { $ifNull: [{ $first: pinsWhere({ $eq: ["$$this.task", pin.task] }) }, "$$REMOVE"] },
        },
        ...(access === "now" && { lastAccess: "$$NOW" }),
        ...(access instanceof Date && { lastAccess: { $literal: access } }),
        ...(pin !== undefined && { pins: changedPins(times, pin) }),
        said: { $add: ["$said", said] },
        stored: { $add: ["$stored", stored] },
      },
    },
    ...expiryStages(times),
  ];
}

/**
 * Undoes a touch that was made for something that then didn't happen. If nobody touched the conversation since, it is
 * as before; if somebody did, only the hold is put back, unless there is a later one.
 */
export function undoStages(times: LifeTimes, { pin, said = 0, token }: Touch, before: Pin | undefined): Document[] {
  const mine = { $eq: ["$touch", token] };
  return [
    {
      $set: {
        lastAccess: { $cond: [mine, { $ifNull: ["$previous.lastAccess", "$lastAccess"] }, "$lastAccess"] },
        ...(pin !== undefined && {
          pins: replacedPin(pin, true, before === undefined ? [] : [{ $literal: before }]),
        }),
        said: { $subtract: ["$said", said] },
        touch: newId(),
      },
    },
    ...expiryStages(times),
  ];
}

/**
 * The time of a conversation, from its last access and its holds. Without retention it is left as it is, since what
 * belongs to it has one.
 */
export function expiryStages({ ttlMs }: LifeTimes): Document[] {
  const held = { $set: { pinnedUntil: { $max: "$pins.until" } } };
  return ttlMs === undefined
    ? [held]
    : [held, { $set: { expireAt: { $max: [{ $add: ["$lastAccess", ttlMs] }, "$pinnedUntil"] } } }];
}

function changedPins({ pinMs }: LifeTimes, pin: PinChange): Document {
  const until = pin.until === "running" ? { $add: ["$$NOW", pinMs] } : pin.until;
  const made = {
    task: pin.task,
    fence: longOf(pin.fence),
    head: pin.head,
    until,
    running: { $literal: pin.until === "running" },
  };
  return replacedPin(pin, { $gt: ["$$this.until", "$$NOW"] }, until === undefined ? [] : [made]);
}

/**
 * The holds with another one for a task, unless there is one that comes later by (fence, head); of others, those that
 * `keep` says.
 */
function replacedPin({ task, fence, head }: PinChange, keep: unknown, pin: readonly Document[]): Document {
  const bound = longOf(fence);
  const isLater = {
    $or: [
      { $gt: ["$$this.fence", bound] },
      { $and: [{ $eq: ["$$this.fence", bound] }, { $gt: ["$$this.head", head] }] },
    ],
  };
  const others = pinsWhere({ $and: [{ $ne: ["$$this.task", task] }, keep] });
  const later = pinsWhere({ $and: [{ $eq: ["$$this.task", task] }, isLater] });
  return { $concatArrays: [others, { $cond: [{ $gt: [{ $size: later }, 0] }, later, pin] }] };
}

function pinsWhere(cond: Document): Document {
  return { $filter: { input: "$pins", cond } };
}

/** A moment so long after another, within what a date can hold. */
export function dateAfter(timeMs: number, ms: number): Date {
  const latestMs = 8.64e15;
  return new Date(Math.min(Math.max(Math.ceil(timeMs + Math.min(ms, foreverMs)), -latestMs), latestMs));
}
