import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, expect, test } from "vitest";
import { type FuzzReport, fuzz, type WayCount } from "./fuzz.ts";
import { type Input, inputOf, shown } from "./inputs.ts";
import { faultOf, isFaultyLine } from "./oracle.ts";
import { valuesOf } from "./random.ts";
import { complaintsOf, growthOf } from "./report.ts";
import type { KnownTasks } from "./valid-calls.ts";
import { ways } from "./ways.ts";
import type { Answer } from "./wire.ts";

/** The same in every run, so that a failure is everybody's. `npm run fuzz` takes another each time. */
const seed = Number(process.env.FUZZ_SEED ?? 13);
const inputs = 1_000;
const folder = mkdtempSync(join(tmpdir(), "a2a-fuzz-"));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

test.concurrent.each([
  ["memory", "memory:", 0],
  ["SQLite", `sqlite:${join(folder, "tasks.db")}`, inputs],
])(
  "1,000 inputs over nine ways show no fault of a server on %s",
  { timeout: 180_000 },
  async (_name, storage, from) => {
    const report = await fuzz({ storage, seed, from, to: from + inputs, roundInputs: 250 });
    expect([`seed ${seed}`, ...complaintsOf(report, "run")]).toEqual([`seed ${seed}`]);
    expect(report.inputs).toBe(inputs);
  },
);

const tasks: KnownTasks = {
  done: [{ id: "done", contextId: "c" }],
  waiting: [{ id: "waiting", contextId: "c" }],
  doomed: [{ id: "doomed", contextId: "c" }],
};

test("an input is made again from its seed and index", () => {
  const shownInputs = () => {
    const values = valuesOf(7);
    return Array.from({ length: 100 }, (_, index) => shown(inputOf(7, index, values, tasks)));
  };
  const inOrder = shownInputs();
  expect(shownInputs()).toEqual(inOrder);
  expect(shown(inputOf(7, 55, valuesOf(7), tasks))).toBe(inOrder[55]);
  expect(new Set(inOrder).size).toBe(100);
});

const input: Input = { ...inputOf(7, 0, valuesOf(7), tasks), faults: ["json"] };
const json = { "content-type": "application/json" };
const answer = (status: number, headers: Answer["headers"], body = ""): Answer => ({
  status,
  headers,
  body: Buffer.from(body),
  end: "complete",
});

test.each<[string, Answer, RegExp]>([
  ["gRPC's INTERNAL", answer(200, { "content-type": "application/grpc", "grpc-status": "13" }), /INTERNAL/],
  [
    "gRPC-Web's INTERNAL",
    answer(200, { "content-type": "application/grpc-web" }, "\x80\0\0\0\x0fgrpc-status: 13\r\n"),
    /INTERNAL/,
  ],
  ["Connect's INTERNAL", answer(500, json, '{"code":"internal"}'), /INTERNAL/],
  [
    "INTERNAL at the end of Connect's stream",
    answer(200, { "content-type": "application/connect+json" }, '\x02\0\0\0\0{"error":{"code":"internal"}}'),
    /internal/,
  ],
  ["INTERNAL over HTTP+JSON", answer(500, json, '{"error":{"code":500,"status":"INTERNAL"}}'), /INTERNAL/],
  [
    "INTERNAL over JSON-RPC",
    answer(200, json, '{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"Internal error 1"}}'),
    /INTERNAL/,
  ],
  [
    "INTERNAL in an event stream",
    answer(200, { "content-type": "text/event-stream" }, 'data: {"error":{"code":500,"status":"INTERNAL"}}\n\n'),
    /INTERNAL/,
  ],
  ["V8's text", answer(400, json, '{"code":"invalid_argument","message":"Unexpected token x"}'), /engine: Unexpected/],
  ["SQLite's text", answer(400, json, '{"message":"UNIQUE constraint failed"}'), /engine: constraint failed/],
  ["zlib's text", answer(400, json, '{"message":"incorrect header check"}'), /engine: incorrect header check/],
  ["a lost answer", { ...answer(0, {}), end: "cut", error: "socket hang up" }, /no answer: socket hang up/],
])("the fuzz notices %s", (_name, given, fault) => {
  expect(faultOf(input, given)).toMatch(fault);
});

test.each<[string, Answer]>([
  ["a success that echoes such a text", answer(200, json, '{"task":{"text":"TypeError at x.ts:1"}}')],
  [
    "a refusal",
    answer(400, json, '{"error":{"code":400,"status":"INVALID_ARGUMENT","message":"message is required"}}'),
  ],
])("the fuzz accepts %s", (_name, given) => {
  expect(faultOf(input, given)).toBeUndefined();
});

test.each([
  ['{"level":60,"msg":"The server ends because of an unhandled error"}', true],
  ['{"level":50,"msg":"A call failed unexpectedly"}', true],
  ["(node:1) MaxListenersExceededWarning: Possible memory leak detected", true],
  ['{"level":40,"msg":"The storage refused a call"}', false],
])("a line of the log shows an unhandled error: %s", (line, isFaulty) => {
  expect(isFaultyLine(line)).toBe(isFaulty);
});

test("a run complains of too few calls that reach a log, of a way that reaches none, and of growing memory", () => {
  const count = (reachedLog: number): WayCount => ({ inputs: 10, reachedLog, unanswered: 0 });
  const report: FuzzReport = {
    inputs: 30,
    ways: new Map([
      ["a", count(9)],
      ["b", count(0)],
    ]),
    codes: new Map(),
    faults: [],
    heldBytes: [10, 20, 30, 80].map((megabytes) => megabytes * 1024 * 1024),
    rss: [],
  };
  expect(complaintsOf(report, "run")).toEqual([
    "only 9 of 30 inputs are calls that reach a log",
    "b reaches no log",
    "the server holds 60.0 MiB more than after the warm-up",
  ]);
  expect(growthOf([10, 10, 10])).toBe(0);
  expect(ways.map(({ name }) => name)).toHaveLength(9);
});
