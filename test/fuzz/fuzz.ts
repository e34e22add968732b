import { createGrpcTransport } from "@connectrpc/connect-node";
import { Role } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { type Clients, clientsOf } from "../e2e/bindings.ts";
import { type FuzzServer, startFuzzServer } from "./fuzz-server.ts";
import { type Input, inputOf, shown } from "./inputs.ts";
import { faultOf, isFaultyLine, outcomeOf } from "./oracle.ts";
import { type Values, valuesOf } from "./random.ts";
import { type KnownTask, type KnownTasks, logMethods } from "./valid-calls.ts";
import { ways } from "./ways.ts";
import { Wire } from "./wire.ts";

export interface FuzzOptions {
  /** The URL of the storage. */
  readonly storage: string;
  readonly seed: number;
  /** The first input, and the one after the last. */
  readonly from: number;
  readonly to: number;
  /** Inputs after which the tasks are removed and memory is looked at. */
  readonly roundInputs: number;
  /** Hears of each finished round. */
  readonly onRound?: (report: FuzzReport) => void;
  /** Hears of each input with what came back. */
  readonly onAnswer?: (input: string, answer: string) => void;
}

export interface WayCount {
  inputs: number;
  /** Calls without a fault that were answered with success and read a log or appended to it. */
  reachedLog: number;
  /** Inputs without an answer: their connection was edited, or the client left. */
  unanswered: number;
}

export interface FuzzReport {
  readonly inputs: number;
  readonly ways: ReadonlyMap<string, WayCount>;
  /** Outcomes by code. */
  readonly codes: ReadonlyMap<string, number>;
  /** What must not happen, each with its input. */
  readonly faults: readonly string[];
  /** What the server held after each round, without the tasks of the round. */
  readonly heldBytes: readonly number[];
  readonly rss: readonly number[];
}

/** Inputs at once. Most wait for the server, some for a stream that stays open. */
const lanes = 32;
/** Faults that are told: more of them say no more. */
const faultsMax = 50;

/** Starts a server, sends it the inputs of a seed, and stops it. */
export async function fuzz(options: FuzzOptions): Promise<FuzzReport> {
  const faults: string[] = [];
  const report = {
    inputs: 0,
    ways: new Map(ways.map(({ name }): [string, WayCount] => [name, { inputs: 0, reachedLog: 0, unanswered: 0 }])),
    codes: new Map<string, number>(),
    faults,
    heldBytes: [] as number[],
    rss: [] as number[],
  };
  const underWay = new Map<number, Input>();
  const addFault = (fault: string) => {
    if (faults.length < faultsMax) faults.push(fault);
  };
  const server = await startFuzzServer(options.storage, (line) => {
    if (isFaultyLine(line)) addFault(`in the log: ${line}\nunder way: ${[...underWay.keys()].join(", ")}`);
  });
  try {
    const clients = clientsTo(server.url);
    const values = valuesOf(options.seed);
    for (let from = options.from; from < options.to && server.exitCode() === undefined; from += options.roundInputs) {
      const to = Math.min(from + options.roundInputs, options.to);
      await runRound({ ...options, from, to }, server, { clients, values, report, underWay, addFault });
      await removeAll(clients);
      const { heldBytes, rss } = await server.memory();
      report.heldBytes.push(heldBytes);
      report.rss.push(rss);
      options.onRound?.(report);
    }
  } catch (error) {
    addFault(`the server serves no plain call: ${error}`);
  } finally {
    const exitCode = server.exitCode() === undefined ? await server.stop() : `${server.exitCode()} by itself`;
    if (exitCode !== 0) addFault(`the server ended with ${exitCode}`);
  }
  return report;
}

interface Round {
  readonly clients: Clients;
  readonly values: Values;
  readonly report: { inputs: number; readonly ways: Map<string, WayCount>; readonly codes: Map<string, number> };
  readonly underWay: Map<number, Input>;
  readonly addFault: (fault: string) => void;
}

async function runRound(options: FuzzOptions, server: FuzzServer, round: Round): Promise<void> {
  const { clients, values, report, underWay, addFault } = round;
  const tasks = await knownTasks(clients);
  let next = options.from;
  const lane = async () => {
    using wire = new Wire(server.url);
    while (next < options.to && server.exitCode() === undefined) {
      const input = inputOf(options.seed, next++, values, tasks);
      underWay.set(input.index, input);
      const answer = await wire.send(input);
      underWay.delete(input.index);
      const outcome = outcomeOf(answer);
      const code = answer.status === 0 ? `none (${answer.end})` : outcome.code;
      report.inputs++;
      report.codes.set(code, (report.codes.get(code) ?? 0) + 1);
      const count = report.ways.get(input.way.name) as WayCount;
      count.inputs++;
      if (answer.status === 0) count.unanswered++;
      else if (input.faults.length === 0 && code === "ok" && logMethods.has(input.call.method)) count.reachedLog++;
      const fault = faultOf(input, answer);
      if (fault !== undefined)
        addFault(`${fault}\n${shown(input)}\nanswer: ${answer.status} ${outcome.told.slice(0, 500)}`);
      options.onAnswer?.(
        shown(input),
        [`${answer.status} ${answer.end} ${answer.error ?? ""}`, JSON.stringify(answer.headers), answer.body].join(
          "\n",
        ),
      );
    }
  };
  await Promise.all(Array.from({ length: Math.min(lanes, options.to - options.from) }, lane));
}

function clientsTo(url: URL): Clients {
  return clientsOf((interceptors) => createGrpcTransport({ baseUrl: url.origin, interceptors }));
}

/** The tenants that inputs name. */
const tenants = ["", "t1", "ü", "T1"];

async function knownTasks({ a2a }: Clients): Promise<KnownTasks> {
  const made = async (text: string): Promise<KnownTask> => {
    const message = { messageId: crypto.randomUUID(), role: Role.USER, parts: [part(text)] };
    const { payload } = await a2a.sendMessage({ message });
    if (payload.case !== "task") throw new Error(`"${text}" was answered with ${payload.case}`);
    return payload.value;
  };
  const several = (count: number, text: string) => Promise.all(Array.from({ length: count }, () => made(text)));
  const [done, waiting, doomed] = await Promise.all([several(6, "stream 3"), several(10, "ask"), several(6, "hello")]);
  return { done, waiting, doomed };
}

const part = (text: string) => ({ content: { case: "text" as const, value: text } });

/** Removes what a round has left. Tasks that wait for input keep theirs for a second. */
async function removeAll({ conversations }: Clients): Promise<void> {
  for (const tenant of tenants) await conversations.cleanupExpiredConversations({ tenant, maxAgeMs: 0n });
}
