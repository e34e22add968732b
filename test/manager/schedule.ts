import { create } from "@bufbuild/protobuf";
import { vi } from "vitest";
import { ListTasksRequestSchema, type Message, type StreamResponse } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskSubscriber } from "../../src/agent/task-subscriber.ts";
import { isSettled } from "../../src/domain/task-state.ts";
import { createTaskManager, type TaskManager } from "../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { ManualClock, settle } from "../runtime/manual-clock.ts";
import { type Fault, FaultyStorage, randomOf } from "../storage/faulty-storage.ts";
import { brief, message, request, ScriptedAgent, stateOf, taskIn } from "./fixtures.ts";
import { act, acts } from "./schedule-acts.ts";

/** A call and what became of it. */
export interface Call {
  readonly what: "send" | "stream" | "cancel" | "watch" | "get" | "list";
  readonly messageId: string;
  taskId: string;
  /**
   * "open" until it is answered; then "ok", the state of a task, or the reason of a refusal. "killed": its server was,
   * and never answered. "left": hung up before the first event.
   */
  outcome: string;
  readonly historyIds: string[];
}

export interface Reader {
  readonly call: Call;
  readonly subscriber: TaskSubscriber;
  /** What it has seen, with the cursor after each. */
  readonly seen: { readonly cursor: bigint; readonly event: string }[];
  /** The cursor that it began after; undefined if it began with the task. */
  readonly after: bigint | undefined;
  hungUp: boolean;
}

export interface Plan {
  readonly seed: number;
  readonly steps: number;
  readonly faults: readonly Fault[];
  readonly whileWorking?: "enqueue" | "reject";
  readonly onLost?: "fail" | "resume" | "undeclared";
  /** Shut the server down about so often in a play; the next one begins when it has ended. */
  readonly shutdowns?: number;
  /**
   * Kill the server about so often in a play; another one takes over, and what the first one still had on its way comes
   * late.
   */
  readonly kills?: number;
}

interface Server {
  readonly manager: TaskManager;
  readonly faulty: FaultyStorage;
  readonly clock: ManualClock;
  readonly agent: ScriptedAgent;
  /** The newest sequence that a call to this server has shown, by task. */
  readonly shown: Map<string, bigint>;
}

/**
 * One random play: clients that send, repeat, follow up, cancel, read and hang up; an agent that yields, returns and
 * throws; a storage whose calls are held up and let go; in an order drawn from the seed, with a random number of
 * microtasks between any two steps. At the end everybody is let go, and what still runs is canceled: then every call
 * must have its answer.
 */
export class Play {
  readonly storage: Storage = createMemoryStorage();
  readonly calls: Call[] = [];
  readonly readers: Reader[] = [];
  readonly tasks = new Set<string>();
  /** Tasks that nobody was told of, and that neither ended nor wait for their client at the end of the play. */
  orphans: readonly string[] = [];
  /**
   * Calls that waited for something once every agent had returned and the storage did its work. Streams may: for a task
   * that asks.
   */
  readonly stuck: Call[] = [];
  /**
   * Servers that were killed: they still do what they had begun, but nobody asks them any more, and their time stands
   * still.
   */
  readonly killed: Server[] = [];
  /** Servers that were shut down: calls to them that still wait for the storage end in their own time. */
  readonly #ended: Server[] = [];
  readonly #plan: Plan;
  readonly #draw: () => number;
  readonly #sent: Message[] = [];
  #server: Server | undefined;
  #ids = 0;

  constructor(plan: Plan) {
    this.#plan = plan;
    this.#draw = randomOf(plan.seed);
  }

  get server(): Server {
    if (this.#server === undefined) throw new Error("The play hasn't begun");
    return this.#server;
  }

  async run(): Promise<this> {
    const { seed, steps, kills = 0, shutdowns = 0 } = this.#plan;
    // Backoffs have jitter.
    const jitter = vi.spyOn(Math, "random").mockImplementation(randomOf(seed));
    try {
      await this.#start();
      for (let step = 0; step < steps; step++) {
        if (this.#below(steps) < kills) await this.#kill();
        else if (shutdowns > 0 && this.#below(steps) < shutdowns) await this.#shutDown();
        else await this.#step();
        if (this.#below(4) === 0) await settle(1);
        else for (let microtasks = this.#below(8); microtasks > 0; microtasks--) await undefined;
      }
      await this.#windDown();
    } finally {
      jitter.mockRestore();
    }
    return this;
  }

  #below(count: number): number {
    return Math.floor(this.#draw() * count);
  }

  #one<T>(list: readonly T[]): T | undefined {
    return list[this.#below(list.length)];
  }

  async #start(): Promise<void> {
    const { seed, faults, whileWorking = "enqueue", onLost = "fail" } = this.#plan;
    const clock = new ManualClock();
    const faulty = new FaultyStorage(this.storage);
    const agent = new ScriptedAgent({ whileWorking, onLost });
    const options = { maxRunningTasks: 2, cancelGraceMs: 1_000, enableCleanup: false };
    const newId = () => `id-${seed}-${++this.#ids}`;
    const manager = await clock.advanceUntil(createTaskManager(agent, faulty.storage, options, { clock, newId }));
    faulty.failAtRandom({
      seed: seed + this.killed.length,
      probability: 0.6,
      faults,
      methods: [
        ...(["appendTask", "readTask", "getTask", "taskExists", "storeSnapshot"] as const),
        ...(["claimTasks", "listRunners", "listReplicas", "heartbeat", "deregister"] as const),
      ],
    });
    this.#server = { manager, faulty, clock, agent, shown: new Map() };
  }

  async #kill(): Promise<void> {
    this.killed.push(this.server);
    for (const call of this.calls) if (call.outcome === "open") call.outcome = "killed";
    await this.#start();
  }

  /** Drains the server while its clients and its agent go on, and ends it; what is held up then goes on late. */
  async #shutDown(): Promise<void> {
    const { manager, faulty, clock } = this.server;
    void manager.drain(this.#below(3) * 500);
    for (let steps = this.#below(8); steps > 0; steps--) await this.#step();
    const disposed = Promise.resolve(manager[Symbol.asyncDispose]());
    for (let steps = this.#below(4); steps > 0; steps--) await this.#step();
    if (this.#below(4) > 0) faulty.release();
    await clock.advanceUntil(disposed);
    this.killed.push(this.server);
    this.#ended.push(this.server);
    await this.#start();
  }

  async #step(): Promise<void> {
    const { faulty, clock } = this.server;
    const steps: readonly (() => unknown)[] = [
      () => this.#send(),
      () => this.#stream(),
      () => this.#watch(),
      () => this.#resume(),
      () => this.#get(),
      () => this.#list(),
      () => this.#below(4) === 0 && this.#cancel(this.#one([...this.tasks])),
      () => this.#act(),
      () => this.#act(),
      () => faulty.release(1),
      () => this.#one([faulty, ...this.killed.map((server) => server.faulty)])?.release(1),
      () => clock.advance(this.#below(400)),
      () => this.#below(5) === 0 && this.#hangUp(),
    ];
    await this.#one(steps)?.();
  }

  #track(what: Call["what"], messageId: string, taskId: string): Call {
    const call: Call = { what, messageId, taskId, outcome: "open", historyIds: [] };
    this.calls.push(call);
    return call;
  }

  #settle(call: Call, promise: Promise<string>): void {
    const end = (outcome: string) => {
      // Also what a killed server says late must hold.
      call.outcome = outcome;
    };
    promise.then(end, (error: { readonly reason?: string; readonly message?: string }) =>
      end(error.reason ?? `unexpected: ${error.message}`),
    );
  }

  #message(): Message {
    const repeat = this.#sent.length > 0 && this.#below(5) === 0 ? this.#one(this.#sent) : undefined;
    if (repeat !== undefined) return repeat;
    const { tasks } = this;
    const taskId = tasks.size > 0 && (tasks.size > 2 || this.#below(4) > 0) ? (this.#one([...tasks]) ?? "") : "";
    const made = message("x", { taskId });
    this.#sent.push(made);
    return made;
  }

  #send(): void {
    const sending = this.#message();
    const call = this.#track("send", sending.messageId, sending.taskId);
    const now = this.#below(3) === 0;
    const answer = this.server.manager.sendMessage(request(sending, { now })).then((response) => {
      const task = taskIn(response);
      call.taskId = task.id;
      this.tasks.add(task.id);
      call.historyIds.push(...task.history.map(({ messageId }) => messageId));
      return now ? "ok" : stateOf(task);
    });
    this.#settle(call, answer);
  }

  #stream(): void {
    const sending = this.#message();
    this.#read(
      this.#track("stream", sending.messageId, sending.taskId),
      this.server.manager.sendStreamingMessage(request(sending)),
    );
  }

  #watch(): void {
    const id = this.#one([...this.tasks]);
    if (id === undefined) return;
    const { manager } = this.server;
    this.#read(
      this.#track("watch", "", id),
      this.#below(2) === 0 ? manager.watchTask(id, 0n) : manager.subscribeToTask(id),
    );
  }

  /** Goes on after what some reader has seen, as a client does whose connection broke. */
  #resume(): void {
    const { call, subscriber, seen } = this.#one(this.readers) ?? {};
    if (call === undefined || subscriber === undefined || seen?.length === 0) return;
    const { manager, shown } = this.server;
    const { taskId } = call;
    const { cursor } = subscriber;
    // A server that only seems dead may show an entry that its successor has not loaded.
    if (cursor > (shown.get(taskId) ?? 0n)) return;
    this.#read(
      this.#track("watch", "", taskId),
      this.#below(2) === 0 ? manager.watchTask(taskId, cursor) : manager.subscribeToTask(taskId, cursor),
      cursor,
    );
  }

  /** Gets a task, or its head: neither may be older than what this server has shown before. */
  #get(): void {
    const id = this.#one([...this.tasks]);
    if (id === undefined) return;
    const { manager, shown } = this.server;
    const before = shown.get(id) ?? 0n;
    const answer =
      this.#below(2) === 0
        ? manager.getTask(id).then(({ sequence }) => sequence)
        : manager.getTaskAt(id, 1n).then(({ head }) => head);
    this.#settle(
      this.#track("get", "", id),
      answer.then((sequence) => show(shown, id, sequence, before)),
    );
  }

  #list(): void {
    const { manager, shown } = this.server;
    const before = new Map(shown);
    const answer = manager.listTasks(create(ListTasksRequestSchema)).then(({ tasks }) => {
      const outcomes = tasks.map(({ task, sequence }) => show(shown, task.id, sequence, before.get(task.id) ?? 0n));
      return outcomes.find((outcome) => outcome !== "ok") ?? "ok";
    });
    this.#settle(this.#track("list", "", ""), answer);
  }

  #read(call: Call, subscriber: TaskSubscriber, after?: bigint): void {
    const reader: Reader = { call, subscriber, seen: [], after, hungUp: false };
    this.readers.push(reader);
    const { shown } = this.server;
    const follow = async () => {
      for await (const event of subscriber) {
        call.taskId = taskIdOf(event);
        this.tasks.add(call.taskId);
        reader.seen.push({ cursor: subscriber.cursor, event: brief(event) });
        show(shown, call.taskId, subscriber.cursor, 0n);
      }
      return reader.seen.length > 0 ? "ok" : "left";
    };
    this.#settle(call, follow());
  }

  #hangUp(): void {
    const reader = this.#one(this.readers);
    if (reader === undefined) return;
    reader.hungUp = true;
    void reader.subscriber.close();
  }

  #cancel(id: string | undefined): void {
    if (id === undefined) return;
    this.#settle(
      this.#track("cancel", "", id),
      this.server.manager.cancelTask(id).then((task) => stateOf(task)),
    );
  }

  #act(): void {
    const turns = [this.server, ...this.killed].flatMap(({ agent }) => agent.turns);
    const turn = this.#one(turns.filter(({ over }) => !over));
    if (turn !== undefined) act(turn, this.#below(acts.length + 4));
  }

  /**
   * Lets everything end: first the agents, then by canceling what is left. Stops as soon as nothing is open any more,
   * or after so many rounds.
   */
  async #windDown(): Promise<void> {
    const { manager, clock, agent } = this.server;
    const rounds = 60;
    for (const server of [this.server, ...this.#ended]) server.faulty.heal();
    for (let round = 0; round < rounds; round++) {
      for (const server of [this.server, ...this.killed]) server.faulty.release();
      for (const turn of agent.turns) if (!turn.over) turn.return();
      for (const server of [this.server, ...this.#ended]) await server.clock.advance(500);
      if (round === rounds / 2) {
        this.stuck.push(
          ...this.calls.filter(({ what, outcome }) => outcome === "open" && (what === "send" || what === "cancel")),
        );
        for (const id of this.tasks) this.#cancel(id);
      }
      if (round > rounds / 2 && this.calls.every(({ outcome }) => outcome !== "open")) break;
    }
    const { tasks } = await this.storage.listTasks({ scope: { tenant: "", owner: "" }, limit: 1_000 });
    this.orphans = tasks
      .filter(({ key, state }) => !this.tasks.has(key.taskId) && !isSettled(state))
      .map(({ key }) => key.taskId);
    await clock.advanceUntil(Promise.resolve(manager[Symbol.asyncDispose]()));
  }
}

/** Notes that a sequence was shown; "ok" unless it is older than what was shown before. */
function show(shown: Map<string, bigint>, id: string, sequence: bigint, before: bigint): string {
  if (sequence > (shown.get(id) ?? 0n)) shown.set(id, sequence);
  return sequence >= before ? "ok" : `older: ${sequence} after ${before}`;
}

function taskIdOf({ payload }: StreamResponse): string {
  if (payload.case === "task") return payload.value.id;
  return payload.value?.taskId ?? "";
}
