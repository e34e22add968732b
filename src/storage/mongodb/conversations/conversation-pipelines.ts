import type { Binary, Document } from "mongodb";
import type { Scope } from "../../../domain/scope.ts";
import type { Retention } from "../../storage.ts";
import { longOf, newId, scopeKey } from "../keys.ts";
import { foreverMs } from "../limits.ts";
import type { Pin } from "../records.ts";

/**
 * The updates of conversations. They are pipelines, so every time in them is the database's own (`$$NOW`). Values from
 * clients are under `$literal`, because a pipeline takes a string that begins with a dollar sign for the name of a
 * field.
 */

/** How long conversations live, for the expressions below. */
export interface LifeTimes {
  readonly ttlMs: number | undefined;
  readonly pinMs: number;
  readonly slackMs: number;
  readonly retention: Retention;
}

/** A change of a task's pin on its conversation. Of two changes for a task, the later one by (fence, head) counts. */
export interface PinChange {
  readonly task: Binary;
  readonly fence: bigint;
  readonly head: number;
  /** "running": for a long time from now. A date: until then. Undefined: the pin is removed. */
  readonly until: "running" | Date | undefined;
}

export interface Touch {
  /** "now" or a date: the new last access. "keep": the last access stays as it is. */
  readonly access: "now" | "keep" | Date;
  readonly pin?: PinChange | undefined;
  /** The number of messages added to the history, and how many of them have no task. */
  readonly messageCount?: number;
  readonly stored?: number;
  /** Identifies this touch for `undoStages`. */
  readonly token: Binary;
}

/**
 * Whether a conversation can be found. It can't if the database may remove it at any moment, or if it is past its time
 * by this process's retention; the record may have been written under another retention.
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

/** Creates the conversation if there is none or if it is past its time, and touches it. */
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
    messageCount: 0,
    stored: 0,
    ...(times.ttlMs !== undefined && { covered: { $add: ["$$NOW", times.ttlMs + times.slackMs] } }),
    // If the old incarnation had an expiry, MongoDB removes what belonged to it.
    replaced: { $cond: [{ $eq: [{ $type: "$expireAt" }, "missing"] }, "$incarnation", "$$REMOVE"] },
  };
  return [
    { $set: { live: liveExpression(times.ttlMs) } },
    { $replaceWith: { $cond: ["$live", "$$ROOT", fresh] } },
    { $unset: "live" },
    ...touchStages(times, touch),
  ];
}

/** Touches an existing conversation. */
export function touchStages(times: LifeTimes, { access, pin, messageCount = 0, stored = 0, token }: Touch): Document[] {
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
        messageCount: { $add: ["$messageCount", messageCount] },
        stored: { $add: ["$stored", stored] },
      },
    },
    ...expiryStages(times),
  ];
}

/**
 * Undoes a touch for an append that was not committed. Without another touch since, the conversation is as before. With
 * another touch, only the pin is put back, unless there is a later one.
 */
export function undoStages(
  times: LifeTimes,
  { pin, messageCount = 0, token }: Touch,
  before: Pin | undefined,
): Document[] {
  const mine = { $eq: ["$touch", token] };
  return [
    {
      $set: {
        lastAccess: { $cond: [mine, { $ifNull: ["$previous.lastAccess", "$lastAccess"] }, "$lastAccess"] },
        ...(pin !== undefined && {
          pins: replacedPin(pin, true, before === undefined ? [] : [{ $literal: before }]),
        }),
        messageCount: { $subtract: ["$messageCount", messageCount] },
        touch: newId(),
      },
    },
    ...expiryStages(times),
  ];
}

/**
 * Sets the expiry of a conversation from its last access and its pins. Without retention it keeps the expiry that it
 * has, because the records that belong to it have one.
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
 * The pins with the pin of one task replaced, unless that task has a later one by (fence, head). Of other tasks' pins,
 * those for which `keep` is true.
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

/** The time `ms` after another, within the range of dates. */
export function dateAfter(timeMs: number, ms: number): Date {
  const latestMs = 8.64e15;
  return new Date(Math.min(Math.max(Math.ceil(timeMs + Math.min(ms, foreverMs)), -latestMs), latestMs));
}
