import { expect, test } from "vitest";
import type { Entry } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { eventOf } from "../../src/domain/entry.ts";
import { emptyFold, evolve } from "../../src/domain/fold.ts";
import { isTerminal } from "../../src/domain/task-state.ts";
import { decodeEntry } from "../../src/log/entry-codec.ts";
import { brief, stateOf } from "./fixtures.ts";
import { type Call, type Plan, Play, type Reader } from "./schedule.ts";

/** Plays of each kind. */
const seeds = 300;
/** Busy machines are slow. */
const timeoutMs = 60_000;

/** A task's log, and what its entries say. */
interface History {
  readonly id: string;
  readonly entries: readonly Entry[];
  /** Accepted messages of clients, by sequence. */
  readonly accepted: ReadonlyMap<bigint, string>;
  /** Its turns, in order, with those that were run again. */
  readonly turns: readonly { readonly message: bigint; readonly attempt: number }[];
  readonly state: string;
}

async function historyOf({ storage }: Play, id: string): Promise<History> {
  const stored = await storage.readTask({ tenant: "", owner: "", taskId: id }, 0n, 64 * 1024 * 1024);
  const entries = stored.map(({ bytes }) => decodeEntry(bytes, { taskId: id, contextId: "" }));
  const fold = emptyFold(id);
  const accepted = new Map<bigint, string>();
  const turns: { readonly message: bigint; readonly attempt: number }[] = [];
  for (const [index, entry] of entries.entries()) {
    const sequence = BigInt(index + 1);
    // Throws where an entry can't follow, for instance anything behind a terminal status.
    evolve(fold, sequence, entry);
    const { body } = entry;
    if (body.case === "created") accepted.set(sequence, body.value.task?.history[0]?.messageId ?? "");
    if (body.case === "message" && body.value.options !== undefined)
      accepted.set(sequence, body.value.message?.messageId ?? "");
    if (body.case === "turn") turns.push({ message: body.value.messageSequence, attempt: body.value.attempt });
    // A run whose agent was not called is none.
    if (body.case === "turnStopped" && !body.value.called) turns.pop();
  }
  return { id, entries, accepted, turns, state: stateOf(fold) };
}

/** What a reader with these cursors must have seen: the log's events behind its first one. */
function eventsBetween(
  { entries }: History,
  after: bigint,
  last: bigint,
): { readonly cursor: bigint; readonly event: string }[] {
  return entries.flatMap((entry, index) => {
    const cursor = BigInt(index + 1);
    const event = eventOf(entry);
    return event === undefined || cursor <= after || cursor > last ? [] : [{ cursor, event: brief(event) }];
  });
}

const ends = /INPUT_REQUIRED|COMPLETED|FAILED|CANCELED|REJECTED/;

function checkReader({ call, seen, after, hungUp }: Reader, history: History, what: string): void {
  const [first, ...later] = seen;
  expect(after === undefined ? (first?.event ?? "task:") : "task:", what).toMatch(/^task:/);
  const rest = after === undefined ? later : seen;
  expect(rest, what).toEqual(eventsBetween(history, after ?? first?.cursor ?? 0n, rest.at(-1)?.cursor ?? 0n));
  // One that wasn't hung up ends where the task ends, or where the agent asks.
  const last = seen.at(-1)?.event ?? "";
  expect(hungUp || call.outcome !== "ok" || ends.test(last), `${what} ends at "${last}"`).toBe(true);
}

function checkTask(
  { id, accepted, turns, state, entries }: History,
  { server, calls, killed }: Play,
  what: string,
): void {
  const terminal = entries.filter(
    ({ body }) => body.case === "statusUpdate" && isTerminal(body.value.status?.state ?? 0),
  );
  expect([terminal.length, terminal[0] === entries.at(-1)], `${what} ends once, with its last entry`).toEqual([
    1,
    true,
  ]);
  // Every turn answers a message of a client, each once and in the order of acceptance; one that was cut off is run
  // again at once.
  const first = turns.filter(({ attempt }) => attempt === 1).map((turn) => turn.message);
  expect(first, what).toEqual([...accepted.keys()].slice(0, first.length));
  const again = turns.filter(
    (turn, index) =>
      turn.attempt > 1 &&
      (turns[index - 1]?.message !== turn.message || turns[index - 1]?.attempt !== turn.attempt - 1),
  );
  expect([again, killed.length > 0 || first.length === turns.length], what).toEqual([[], true]);
  // One that completes has answered all; only another end leaves messages without a turn.
  expect(
    state !== "COMPLETED" || first.length === accepted.size,
    `${what}: ${first.length} turns, ${accepted.size} messages, ${state}`,
  ).toBe(true);
  const canceled = calls.filter((call) => call.what === "cancel" && call.taskId === id && call.outcome === "CANCELED");
  expect(canceled.length === 0 || state === "CANCELED", what).toBe(true);
  const runs = server.agent.turns
    .filter(({ context }) => context.taskId === id)
    .map(({ context }) => context.message.messageId);
  const begun = turns
    .map((turn) => accepted.get(turn.message))
    .slice(killed.length > 0 ? -runs.length || turns.length : 0);
  // Every turn that was begun has run.
  expect(
    killed.length > 0 ? 0 : begun.length - runs.length,
    `${what}: ${begun.length} turns, ${runs.length} runs`,
  ).toBe(0);
  expect(killed.length > 0 ? [] : runs, what).toEqual(killed.length > 0 ? [] : begun);
}

const refusals = new Set(["UNSUPPORTED_OPERATION", "TOO_MANY", "TASK_NOT_FOUND", "INVALID_REQUEST"]);
/** Nobody was told whether the message was taken. */
const unclear = new Set(["UNAVAILABLE", "killed", "left"]);

/** A message that was taken is in one log, once; one that was refused is in none. */
function checkMessages(calls: readonly Call[], histories: readonly History[], what: string): void {
  const places = Map.groupBy(
    histories.flatMap(({ accepted }) => [...accepted.values()]),
    (messageId) => messageId,
  );
  const sent = Map.groupBy(
    calls.filter(({ messageId }) => messageId !== ""),
    ({ messageId }) => messageId,
  );
  for (const [messageId, sends] of sent) {
    const text = `${what}, message ${messageId}: ${sends.map(({ outcome }) => outcome)}`;
    const found = places.get(messageId)?.length ?? 0;
    const known = sends.filter(({ outcome }) => !unclear.has(outcome));
    const taken = known.filter(({ outcome }) => !refusals.has(outcome));
    expect(found, text).toBeLessThanOrEqual(1);
    expect(found >= (taken.length > 0 ? 1 : 0), `${text}: taken, and in no log`).toBe(true);
    expect(known.length < sends.length || taken.length > 0 || found === 0, `${text}: refused, and in a log`).toBe(true);
    const without = taken.filter(({ what: call, historyIds }) => call === "send" && !historyIds.includes(messageId));
    expect(without, `${text}: answered with a task from before it`).toEqual([]);
  }
}

/** Checks one play; gives what happened in it, in words. */
async function check(plan: Plan, allowed: readonly string[]): Promise<readonly string[]> {
  const play = await new Play(plan).run();
  const { calls, stuck, tasks, readers, server } = play;
  const what = `Seed ${plan.seed}`;
  expect(
    stuck.map((call) => `${call.what} of ${call.taskId}`),
    `${what}: calls that only a cancel ends`,
  ).toEqual([]);
  expect(
    calls.filter(({ outcome }) => outcome === "open").map((call) => `${call.what} of ${call.taskId}`),
    `${what}: calls that hang`,
  ).toEqual([]);
  const expected = new Set([
    "ok",
    "left",
    "COMPLETED",
    "FAILED",
    "CANCELED",
    "INPUT_REQUIRED",
    "AUTH_REQUIRED",
    "WORKING",
    "TASK_NOT_CANCELABLE",
    ...refusals,
    ...allowed,
  ]);
  expect(
    [...new Set(calls.map(({ outcome }) => outcome))].filter((outcome) => !expected.has(outcome)),
    what,
  ).toEqual([]);
  expect(play.orphans, `${what}: tasks without an owner`).toEqual([]);
  expect(server.clock.waiting, `${what}: timers`).toBe(0);
  const histories = await Promise.all([...tasks].map((id) => historyOf(play, id)));
  for (const history of histories) checkTask(history, play, `${what}, task ${history.id}`);
  checkMessages(calls, histories, what);
  for (const [place, reader] of readers.entries()) {
    const history = histories.find(({ id }) => id === reader.call.taskId);
    if (history !== undefined) checkReader(reader, history, `${what}, reader ${place}`);
  }
  const kinds = histories.flatMap(({ entries }) => entries.map(({ body }) => String(body.case)));
  return [
    ...calls.map((call) => `${call.what} ${call.outcome}`),
    ...kinds,
    ...readers.map(({ seen }) => (seen.length > 2 ? "long stream" : "short stream")),
  ];
}

const slow = ["held", "answer-held"] as const;
const failing = ["held", "executed-unknown", "lost-unknown", "unavailable"] as const;

const common = [
  "send COMPLETED",
  "send FAILED",
  "send INPUT_REQUIRED",
  "send UNSUPPORTED_OPERATION",
  "stream ok",
  "cancel CANCELED",
  "cancel TASK_NOT_CANCELABLE",
  "long stream",
];

test.each<[string, Omit<Plan, "seed" | "steps">, readonly string[]]>([
  ["a slow storage", { faults: slow }, []],
  ["a slow storage and an agent that takes no message while it works", { faults: slow, whileWorking: "reject" }, []],
  ["a storage that fails now and then", { faults: failing }, ["UNAVAILABLE"]],
  ["servers that are killed, their tasks failed", { faults: slow, kills: 2 }, ["UNAVAILABLE", "killed"]],
  [
    "servers that are killed, their turns run again",
    { faults: slow, kills: 2, onLost: "resume" },
    ["UNAVAILABLE", "killed"],
  ],
  [
    "servers that are killed over a storage that fails",
    { faults: failing, kills: 2, onLost: "resume" },
    ["UNAVAILABLE", "killed"],
  ],
  [
    "servers that are shut down, and an agent that declares nothing",
    { faults: slow, shutdowns: 2, onLost: "undeclared" },
    ["UNAVAILABLE"],
  ],
  [
    "servers that are shut down or killed, their turns run again",
    { faults: slow, shutdowns: 2, kills: 1, onLost: "resume" },
    ["UNAVAILABLE", "killed"],
  ],
  [
    "servers that are shut down or killed over a storage that fails",
    { faults: failing, shutdowns: 2, kills: 1, onLost: "resume" },
    ["UNAVAILABLE", "killed"],
  ],
  [
    "servers that are shut down over a storage that fails, and an agent that declares nothing",
    { faults: failing, shutdowns: 3, onLost: "undeclared" },
    ["UNAVAILABLE"],
  ],
])(
  "with %s every call is answered, every message run or refused, and every reader sees the log",
  { timeout: timeoutMs },
  async (_, plan, allowed) => {
    const happened = new Set<string>();
    for (let seed = 0; seed < seeds; seed++)
      for (const fact of await check({ ...plan, seed, steps: 60 }, allowed)) happened.add(fact);
    // Otherwise the plays would prove little.
    expect(
      [
        ...common,
        ...(plan.kills === undefined && plan.shutdowns === undefined ? [] : ["takeover"]),
        ...(plan.shutdowns === undefined ? [] : ["turnStopped"]),
      ].filter((fact) => !happened.has(fact)),
    ).toEqual([]);
  },
);
