import { strict as assert } from "node:assert";
import type { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { batchEntriesMax, entryBytesMax, idBytesMax } from "../../domain/limits.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import type { MessageClaim, Storage, TaskAppend } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

/** A call that breaks a rule of the port. `name` says which. */
interface BadCall {
  readonly name: string;
  readonly call: (storage: Storage) => unknown;
}

type Call<Value> = (storage: Storage, value: Value) => unknown;

const { scope } = given;
const key = given.taskKey("task");
const contextId = "context";

/** Makes one call of each value. */
function each<Value>(what: string, values: Readonly<Record<string, Value>>, call: Call<Value>): readonly BadCall[] {
  return Object.entries(values).map(([kind, value]) => ({
    name: `${what}: ${kind}`,
    call: (storage) => call(storage, value),
  }));
}

// ── The kinds of invalid values ──

/** A name may be empty. An id may not. */
const badNames = {
  [`${idBytesMax + 1} bytes`]: "x".repeat(idBytesMax + 1),
  "86 characters and 258 bytes": "\u20ac".repeat(86),
  "half of a surrogate pair": "id\ud83d",
};
const badIds = { empty: "", ...badNames };
const badLimits = { 0: 0, "-1": -1, "1.5": 1.5, NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY };
const badAmounts = { "-1": -1, NaN: Number.NaN };
const badTimes = { "1.5": 1.5, NaN: Number.NaN, Infinity: Number.POSITIVE_INFINITY };
const badSequences = { "-1": -1n, "2 to the power of 63": 2n ** 63n };
const badStates: Readonly<Record<string, TaskState>> = {
  "-1": -1 as TaskState,
  "1.5": 1.5 as TaskState,
  NaN: Number.NaN as TaskState,
};

function ids(what: string, call: Call<string>): readonly BadCall[] {
  return each(what, badIds, call);
}

function limits(call: Call<number>): readonly BadCall[] {
  return each("limit", badLimits, call);
}

function scopes(call: Call<Scope>): readonly BadCall[] {
  return [
    ...each("tenant", badNames, (storage, tenant) => call(storage, { ...scope, tenant })),
    ...each("owner", badNames, (storage, owner) => call(storage, { ...scope, owner })),
  ];
}

function keys(call: Call<TaskKey>): readonly BadCall[] {
  return [
    ...scopes((storage, of) => call(storage, given.taskKey("task", of))),
    ...ids("task id", (storage, id) => call(storage, given.taskKey(id))),
  ];
}

/** A scope and the id of something in it. */
function scopedIds(what: string, call: (storage: Storage, of: Scope, id: string) => unknown): readonly BadCall[] {
  return [...scopes((storage, of) => call(storage, of, "id")), ...ids(what, (storage, id) => call(storage, scope, id))];
}

function claims(call: Call<MessageClaim>): readonly BadCall[] {
  const claim = given.claimOf("fresh", "fresh");
  return [
    ...ids("claim's message id", (storage, messageId) => call(storage, { ...claim, messageId })),
    ...ids("claim's content hash", (storage, contentHash) => call(storage, { ...claim, contentHash })),
    ...ids("claim's task id", (storage, taskId) => call(storage, { ...claim, taskId })),
    ...each("claim's window", { ...badAmounts, Infinity: Number.POSITIVE_INFINITY }, (storage, windowMs) =>
      call(storage, { ...claim, windowMs }),
    ),
  ];
}

// ── The appends ──

const fresh = given.taskKey("fresh");

/** Appends that create a task. Each breaks one rule. */
function creations(): readonly BadCall[] {
  const append = given.appendOf(given.nothing, { contextId });
  const create = (storage: Storage, change: Partial<TaskAppend>) => storage.appendTask(fresh, { ...append, ...change });
  const { summary: _, ...withoutSummary } = append.header;
  return [
    ...keys((storage, of) => storage.appendTask(of, append)),
    ...ids("context id", (storage, id) => create(storage, { create: { contextId: id } })),
    ...claims((storage, claim) => storage.appendTask(given.taskKey(claim.taskId), claimed(append, claim))),
    ...each(
      "creation",
      {
        "with a claim for another task": claimed(append, given.claimOf("fresh", "other")),
        "without a summary": { ...append, header: withoutSummary },
        "after a head": { ...append, after: { head: 1n, batch: "b", fence: 1n } },
        "after a batch": { ...append, after: { ...given.nothing, batch: "b" } },
        "after a fence": { ...append, after: { ...given.nothing, fence: 1n } },
      } satisfies Record<string, TaskAppend>,
      (storage, bad) => storage.appendTask(fresh, bad),
    ),
  ];
}

function claimed(append: TaskAppend, claim: MessageClaim): TaskAppend {
  return { ...append, create: { contextId, claim } };
}

/** Appends to an existing task at the end of its log. Each breaks one rule. */
function appends(): readonly BadCall[] {
  const entries = [given.messageEntry("m2")];
  const at = async (storage: Storage, change: (append: TaskAppend) => Partial<TaskAppend>) => {
    const { head, batch, fence } = await given.taskOf(storage, key);
    const append = given.appendOf({ head, batch, fence }, { entries });
    return storage.appendTask(key, { ...append, ...change(append) });
  };
  const header = (storage: Storage, change: Partial<TaskAppend["header"]>) =>
    at(storage, (append) => ({ header: { ...append.header, ...change } }));
  const pointer = (storage: Storage, change: Partial<TaskAppend["messages"][number]>) =>
    at(storage, () => ({ messages: [{ index: 0, messageId: "m2", timeMs: 1, ...change }] }));
  const after = (storage: Storage, change: Partial<TaskAppend["after"]>) =>
    at(storage, (append) => ({ after: { ...append.after, ...change } }));
  const tooMany = Array.from({ length: batchEntriesMax + 1 }, () => entries[0] as Uint8Array);
  const badEntries = { "no entry": [], "257 entries": tooMany, "an entry above 12 MiB": [tooLarge()] };
  return [
    ...each("head", { ...badSequences, "0": 0n }, (storage, head) => after(storage, { head })),
    ...each("fence after which to append", badSequences, (storage, fence) => after(storage, { fence })),
    ...each("batch after which to append", { empty: "" }, (storage, batch) => after(storage, { batch })),
    ...each("batch id", { ...badIds, "65 characters": "b".repeat(65) }, (storage, id) =>
      at(storage, () => ({ batch: { id, entries } })),
    ),
    ...each("batch", badEntries, (storage, bad) => at(storage, () => ({ batch: { id: "b", entries: bad } }))),
    ...each("state", badStates, (storage, state) => header(storage, { state })),
    ...each("status time", badTimes, (storage, statusTimeMs) => header(storage, { statusTimeMs })),
    ...each("replica", badNames, (storage, replica) => header(storage, { replica })),
    ...each("fence", { ...badSequences, "lower than before": 0n }, (storage, fence) => header(storage, { fence })),
    ...each("summary", { "above 12 MiB": tooLarge() }, (storage, summary) => header(storage, { summary })),
    ...ids("message id", (storage, messageId) => pointer(storage, { messageId })),
    ...each("time of a message", badTimes, (storage, timeMs) => pointer(storage, { timeMs })),
    ...each("index of a message", { "-1": -1, "0.5": 0.5, "beyond the batch": 1 }, (storage, index) =>
      pointer(storage, { index }),
    ),
    ...each("messages", { "two in one entry": ["m2", "m3"] }, (storage, two) =>
      at(storage, () => ({ messages: two.map((messageId) => ({ index: 0, messageId, timeMs: 1 })) })),
    ),
    ...ids("handled command", (storage, id) => at(storage, () => ({ handled: [id] }))),
  ];
}

/** A new array for each call, so that it can be freed. */
function tooLarge(): Uint8Array {
  return new Uint8Array(entryBytesMax + 1);
}

// ── All calls ──

/** All methods that have arguments. The type makes a new method fail to compile until it is here. */
type Method = Exclude<keyof Storage, "traits" | "listReplicas" | symbol>;

const badCalls: { readonly [method in Method]: () => readonly BadCall[] } = {
  setRetention: () => [
    ...each("conversation's time", badAmounts, (storage, conversationTtlMs) =>
      storage.setRetention({ conversationTtlMs, interruptedTtlMs: 1 }),
    ),
    ...each("interrupted task's time", badAmounts, (storage, interruptedTtlMs) =>
      storage.setRetention({ conversationTtlMs: 1, interruptedTtlMs }),
    ),
  ],
  appendTask: () => [...creations(), ...appends()],
  getTask: () => keys((storage, of) => storage.getTask(of)),
  readTask: () => [
    ...keys((storage, of) => storage.readTask(of, 0n, 1)),
    ...each("sequence", badSequences, (storage, after) => storage.readTask(key, after, 1)),
    ...each("number of bytes", badAmounts, (storage, bytesMax) => storage.readTask(key, 0n, bytesMax)),
  ],
  taskExists: () => keys((storage, of) => storage.taskExists(of)),
  listTasks: () => [
    ...scopes((storage, of) => storage.listTasks({ scope: of, limit: 1 })),
    ...limits((storage, limit) => storage.listTasks({ scope, limit })),
    ...ids("context id", (storage, id) => storage.listTasks({ scope, limit: 1, contextId: id })),
    ...each("state", badStates, (storage, state) => storage.listTasks({ scope, limit: 1, state })),
    ...each("least status time", badTimes, (storage, statusTimeMsMin) =>
      storage.listTasks({ scope, limit: 1, statusTimeMsMin }),
    ),
    ...each("status time of the last task", badTimes, (storage, statusTimeMs) =>
      storage.listTasks({ scope, limit: 1, after: { statusTimeMs, taskId: "task" } }),
    ),
    ...ids("id of the last task", (storage, taskId) =>
      storage.listTasks({ scope, limit: 1, after: { statusTimeMs: 1, taskId } }),
    ),
  ],
  storeSnapshot: () => [
    ...keys((storage, of) => storage.storeSnapshot(of, { sequence: 2n, bytes: new Uint8Array(1) })),
    ...each("sequence", badSequences, (storage, sequence) =>
      storage.storeSnapshot(key, { sequence, bytes: new Uint8Array(1) }),
    ),
  ],
  deleteTask: () => keys((storage, of) => storage.deleteTask(of)),
  sendCommand: () => [
    ...keys((storage, of) => storage.sendCommand(of, { id: "new", bytes: new Uint8Array(1) })),
    ...ids("command id", (storage, id) => storage.sendCommand(key, { id, bytes: new Uint8Array(1) })),
    ...each("command", { "above 12 MiB": tooLarge() }, (storage, bytes) =>
      storage.sendCommand(key, { id: "new", bytes }),
    ),
  ],
  getMessage: () => scopedIds("message id", (storage, of, id) => storage.getMessage(of, id)),
  getMessages: () => [
    ...scopes((storage, of) => storage.getMessages(of, [])),
    ...ids("message id", (storage, id) => storage.getMessages(scope, ["m1", id])),
  ],
  listMessagesByContextId: () => [
    ...scopedIds("context id", (storage, of, id) => storage.listMessagesByContextId(of, id)),
    ...each("limit", { "-2": -2, "1.5": 1.5, NaN: Number.NaN }, (storage, limit) =>
      storage.listMessagesByContextId(scope, contextId, limit),
    ),
  ],
  listMessagePage: () => {
    const after = { timeMs: 1, taskId: "", sequence: 0n };
    return [
      ...scopedIds("context id", (storage, of, id) => storage.listMessagePage(of, id, { limit: 1 })),
      ...limits((storage, limit) => storage.listMessagePage(scope, contextId, { limit })),
      ...each("time of the last message", badTimes, (storage, timeMs) =>
        storage.listMessagePage(scope, contextId, { after: { ...after, timeMs }, limit: 1 }),
      ),
      ...each("task of the last message", badNames, (storage, taskId) =>
        storage.listMessagePage(scope, contextId, { after: { ...after, taskId }, limit: 1 }),
      ),
      ...each("sequence of the last message", badSequences, (storage, sequence) =>
        storage.listMessagePage(scope, contextId, { after: { ...after, sequence }, limit: 1 }),
      ),
    ];
  },
  storeMessages: () => {
    const good = given.messageOf("new", "new", contextId);
    const tooMany = Array.from({ length: batchEntriesMax + 1 }, (_, index) =>
      given.messageOf(`new-${index}`, "new", contextId),
    );
    return [
      ...scopes((storage, of) => storage.storeMessages(of, [good])),
      ...ids("message id", (storage, id) => storage.storeMessages(scope, [good, given.messageOf(id, "", contextId)])),
      ...ids("context id", (storage, id) => storage.storeMessages(scope, [good, given.messageOf("new-2", "", id)])),
      ...each("messages", { 257: tooMany }, (storage, messages) => storage.storeMessages(scope, messages)),
      ...each("message", { "above 12 MiB": entryBytesMax }, (storage, length) =>
        storage.storeMessages(scope, [good, given.messageOf("new-2", "x".repeat(length), contextId)]),
      ),
      ...claims((storage, claim) => storage.storeMessages(scope, [good], claim)),
      ...each("messages that settle a claim", { none: [] }, (storage, none) =>
        storage.storeMessages(scope, none, given.claimOf("fresh", "fresh")),
      ),
    ];
  },
  deleteMessage: () => scopedIds("message id", (storage, of, id) => storage.deleteMessage(of, id)),
  claimMessage: () => [
    ...scopes((storage, of) => storage.claimMessage(of, given.claimOf("fresh", "fresh"))),
    ...claims((storage, claim) => storage.claimMessage(scope, claim)),
  ],
  storeConversation: () => {
    const conversation = { contextId, messageIds: [], lastAccessTime: new Date(0) };
    return [
      ...scopedIds("context id", (storage, of, id) =>
        storage.storeConversation(of, { ...conversation, contextId: id }),
      ),
      ...ids("message id", (storage, id) => storage.storeConversation(scope, { ...conversation, messageIds: [id] })),
      ...each("last access", { "no date": Number.NaN }, (storage, timeMs) =>
        storage.storeConversation(scope, { ...conversation, lastAccessTime: new Date(timeMs) }),
      ),
    ];
  },
  getConversation: () => scopedIds("context id", (storage, of, id) => storage.getConversation(of, id)),
  listConversations: () => [
    ...scopes((storage, of) => storage.listConversations(of, { limit: 1 })),
    ...limits((storage, limit) => storage.listConversations(scope, { limit })),
    ...each("last access of the last conversation", badTimes, (storage, lastAccessMs) =>
      storage.listConversations(scope, { after: { lastAccessMs, contextId }, limit: 1 }),
    ),
    ...ids("id of the last conversation", (storage, id) =>
      storage.listConversations(scope, { after: { lastAccessMs: 1, contextId: id }, limit: 1 }),
    ),
  ],
  updateConversationAccess: () =>
    scopedIds("context id", (storage, of, id) => storage.updateConversationAccess(of, id)),
  deleteConversation: () => scopedIds("context id", (storage, of, id) => storage.deleteConversation(of, id)),
  getExpiredConversations: () => [
    ...each("age", badAmounts, (storage, maxAgeMs) => storage.getExpiredConversations(maxAgeMs, 1)),
    ...limits((storage, limit) => storage.getExpiredConversations(0, limit)),
    ...scopes((storage, of) => storage.getExpiredConversations(0, 1, of)),
  ],
  cleanupExpiredConversations: () => [
    ...each("age", badAmounts, (storage, maxAgeMs) => storage.cleanupExpiredConversations(maxAgeMs)),
    ...scopes((storage, of) => storage.cleanupExpiredConversations(0, of)),
  ],
  getConversationStats: () => scopes((storage, of) => storage.getConversationStats(of)),
  storePushNotification: () => [
    ...keys((storage, of) => storage.storePushNotification(of, given.configOf("new"))),
    ...ids("config id", (storage, id) => storage.storePushNotification(key, given.configOf(id))),
    ...each("config", { "above 12 MiB": entryBytesMax }, (storage, length) =>
      storage.storePushNotification(key, given.configOf("new", "x".repeat(length))),
    ),
  ],
  getPushNotification: () => [
    ...keys((storage, of) => storage.getPushNotification(of, "config")),
    ...ids("config id", (storage, id) => storage.getPushNotification(key, id)),
  ],
  listPushNotifications: () => keys((storage, of) => storage.listPushNotifications(of)),
  deletePushNotification: () => [
    ...keys((storage, of) => storage.deletePushNotification(of, "config")),
    ...ids("config id", (storage, id) => storage.deletePushNotification(key, id)),
  ],
  register: () => ids("replica", (storage, id) => storage.register(id)),
  heartbeat: () => ids("replica", (storage, id) => storage.heartbeat(id)),
  deregister: () => [
    ...ids("replica", (storage, id) => storage.deregister(id)),
    ...each("counter", { "below 0": -1n, "of 64 bits": 2n ** 63n }, (storage, counter) =>
      storage.deregister("replica-1", counter),
    ),
  ],
  listRunners: () => [
    ...ids("replica", (storage, id) => storage.listRunners({ after: id, limit: 10 })),
    ...limits((storage, limit) => storage.listRunners({ limit })),
  ],
  claimTasks: () => [
    ...ids("replica", (storage, id) => storage.claimTasks({ replicas: ["replica-1", id], limit: 1 })),
    ...limits((storage, limit) => storage.claimTasks({ replicas: ["replica-1"], limit })),
  ],
  watch: () => ids("replica", (storage, id) => storage.watch(id, () => {})),
  wake: () => [
    ...ids("replica", (storage, id) => storage.wake(["replica-1", id], [key])),
    ...keys((storage, of) => storage.wake(["replica-1"], [key, of])),
  ],
};

const refusalCases: readonly CaseSpec[] = Object.entries(badCalls).map(
  ([method, callsOf]): CaseSpec => ({
    name: `${method} refuses invalid arguments, and changes nothing`,
    async run(storage) {
      await fill(storage);
      const before = await contentsOf(storage);
      for (const { name, call } of callsOf()) {
        await given.assertFails("invalid", () => call(storage), name);
      }
      assert.deepEqual(await contentsOf(storage), before);
      assert.deepEqual(await storage.claimMessage(scope, given.claimOf("fresh", "fresh")), {
        outcome: "accepted",
        otherContent: false,
      });
    },
  }),
);

export const argumentCases: readonly CaseSpec[] = [
  ...refusalCases,
  {
    name: "members that the port doesn't name are passed over, even if they can't be cloned",
    async run(storage) {
      const claim = withMore(given.claimOf("m1", "task"));
      const first = given.appendOf(given.nothing, { claim });
      const { after, batch, header, create } = first;
      const append = withMore({
        ...first,
        after: withMore(after),
        batch: withMore(batch),
        header: withMore(header),
        messages: [withMore({ index: 0, messageId: "m1", timeMs: 1000 })],
        ...(create !== undefined && { create: withMore(create) }),
      });
      assert.equal((await storage.appendTask(withMore(key), append)).outcome, "committed");
      const place = withMore({ statusTimeMs: 2_000_000, taskId: "z" });
      const query = withMore({ scope: withMore(scope), contextId, after: place, limit: 5 });
      assert.equal((await storage.listTasks(query)).total, 1);
      const from = withMore({ timeMs: 0, taskId: "", sequence: 0n });
      await storage.listMessagePage(withMore(scope), contextId, withMore({ after: from, limit: 5 }));
      const last = withMore({ lastAccessMs: 0, contextId });
      await storage.listConversations(withMore(scope), withMore({ after: last, limit: 5 }));
      const other = withMore(given.claimOf("m2", "answered"));
      assert.deepEqual(await storage.claimMessage(scope, other), { outcome: "accepted", otherContent: false });
      await storage.storeMessages(withMore(scope), [given.messageOf("bare", "bare", contextId)], other);
    },
  },
];

/** An object with a member more, which no thread can be given. */
function withMore<T extends object>(value: T): T {
  return Object.assign({ ...value }, { more: () => undefined });
}

/** One of each kind of record. */
async function fill(storage: Storage): Promise<void> {
  await given.say(storage, key, given.nothing, "m1", 1000);
  await storage.storeSnapshot(key, { sequence: 1n, bytes: new Uint8Array([1]) });
  await storage.sendCommand(key, { id: "command", bytes: new Uint8Array([2]) });
  await storage.storePushNotification(key, given.configOf("config"));
  await storage.storeMessages(scope, [given.messageOf("bare", "bare", contextId)]);
  await storage.register("replica-1");
}

async function contentsOf(storage: Storage): Promise<unknown> {
  return {
    task: await storage.getTask(key, { snapshot: true }),
    entries: await storage.readTask(key, 0n, 1_000_000),
    tasks: (await storage.listTasks({ scope, limit: 10 })).total,
    conversation: await storage.getConversation(scope, contextId),
    conversations: await storage.listConversations(scope, { limit: 10 }),
    stats: await storage.getConversationStats(),
    configs: await storage.listPushNotifications(key),
    replicas: await storage.listReplicas(),
  };
}
