import { setImmediate } from "node:timers/promises";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { type Message, MessageSchema, TaskPushNotificationConfigSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Scope } from "../../src/domain/scope.ts";
import { taskKeyString } from "../../src/domain/scope.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { MessageClaim, Snapshot, Storage, StorageOptions, TaskAppend } from "../../src/storage/storage.ts";
import { deleteWhatever, deletionFaults, failuresOf, mapKeys, withMethods } from "./mutant-storage.ts";

/** A storage that breaks one promise; `group` is where the suite must notice it. */
interface Fault {
  readonly name: string;
  readonly group: string;
  /** The methods that are at fault, over a storage that is not. */
  readonly methods: (real: Storage) => Partial<Storage>;
  readonly options?: StorageOptions;
}

const faults: readonly Fault[] = [
  {
    name: "appends whatever batch ends at the head",
    group: "append",
    methods: (real) => ({
      async appendTask(key, append) {
        const { batch = append.after.batch } = append.create === undefined ? ((await real.getTask(key)) ?? {}) : {};
        return real.appendTask(key, { ...append, after: { ...append.after, batch } });
      },
    }),
  },
  {
    name: "appends whatever the fence is",
    group: "append",
    methods: (real) => ({
      async appendTask(key, append) {
        const { fence = append.after.fence } = append.create === undefined ? ((await real.getTask(key)) ?? {}) : {};
        const header = { ...append.header, fence: append.header.fence > fence ? append.header.fence : fence };
        return real.appendTask(key, { ...append, after: { ...append.after, fence }, header });
      },
    }),
  },
  {
    name: "checks the condition first and appends later",
    group: "append races",
    methods: (real) => ({
      async appendTask(key, append) {
        const task = await real.getTask(key);
        if (task === undefined || append.after.head !== task.head || append.after.batch !== task.batch) {
          return real.appendTask(key, append);
        }
        for (;;) {
          const { head, batch, fence } = (await real.getTask(key)) ?? task;
          const result = await real.appendTask(key, { ...append, after: { head, batch, fence } });
          if (result.outcome !== "lost") {
            return result;
          }
        }
      },
    }),
  },
  {
    name: "lets the header run ahead of the log",
    group: "append races",
    methods: (real) => {
      let shown = Number.POSITIVE_INFINITY;
      return {
        async appendTask(key, append) {
          shown = Number(append.after.head);
          const result = await real.appendTask(key, append);
          setImmediate().then(() => {
            shown = Number.POSITIVE_INFINITY;
          });
          return result;
        },
        readTask: async (key, after, bytesMax) =>
          (await real.readTask(key, after, bytesMax)).filter(({ sequence }) => sequence <= shown),
      };
    },
  },
  {
    name: "drops the last entry of a batch",
    group: "append",
    methods: (real) => ({
      async appendTask(key, append) {
        const entries = append.batch.entries.length > 1 ? append.batch.entries.slice(0, -1) : append.batch.entries;
        return real.appendTask(key, { ...append, batch: { ...append.batch, entries } });
      },
    }),
  },
  {
    name: "keeps the messages of a lost append",
    group: "append",
    methods: (real) => ({
      async appendTask(key, append) {
        const result = await real.appendTask(key, append);
        if (result.outcome === "lost") {
          const messages = append.messages.map(({ messageId }) => messageOf(messageId, "context"));
          await real.storeMessages(key, messages);
        }
        return result;
      },
    }),
  },
  {
    name: "reads from the cursor on instead of after it",
    group: "read",
    methods: (real) => ({
      readTask: (key, after, bytesMax) => real.readTask(key, after > 0n ? after - 1n : after, bytesMax),
    }),
  },
  {
    name: "reads nothing where the first entry doesn't fit",
    group: "read",
    methods: (real) => ({
      async readTask(key, after, bytesMax) {
        const entries = await real.readTask(key, after, bytesMax);
        return (entries[0]?.bytes.byteLength ?? 0) > bytesMax ? [] : entries;
      },
    }),
  },
  {
    name: "hands out its own bytes",
    group: "read",
    methods: (real) => {
      const handedOut = new Map<string, Awaited<ReturnType<Storage["readTask"]>>>();
      return {
        async readTask(key, after, bytesMax) {
          const place = `${taskKeyString(key)}/${after}`;
          const entries = handedOut.get(place) ?? (await real.readTask(key, after, bytesMax));
          handedOut.set(place, entries);
          return entries;
        },
      };
    },
  },
  {
    name: "loses the fields that it doesn't know",
    group: "read",
    methods: (real) => ({
      async getMessage(scope, messageId) {
        const message = await real.getMessage(scope, messageId);
        return message && fromBinary(MessageSchema, toBinary(MessageSchema, message), { readUnknownFields: false });
      },
    }),
  },
  {
    name: "begins a page of tasks with the last one of the page before",
    group: "list",
    methods: (real) => ({
      listTasks: (query) =>
        real.listTasks(
          query.after === undefined
            ? query
            : { ...query, after: { ...query.after, taskId: `${query.after.taskId}\u0000` } },
        ),
    }),
  },
  {
    name: "leaves out other tasks of the same time after a page",
    group: "list",
    methods: (real) => ({
      listTasks: (query) =>
        real.listTasks(query.after === undefined ? query : { ...query, after: { ...query.after, taskId: "\u0000" } }),
    }),
  },
  {
    name: "takes the least status time as exclusive",
    group: "list",
    methods: (real) => ({
      listTasks: ({ statusTimeMsMin, ...query }) =>
        real.listTasks(statusTimeMsMin === undefined ? query : { ...query, statusTimeMsMin: statusTimeMsMin + 1 }),
    }),
  },
  {
    name: "lets a snapshot fall",
    group: "snapshot",
    methods: (real) => {
      const last = new Map<string, Snapshot>();
      return {
        async storeSnapshot(key, snapshot) {
          if (snapshot.sequence <= ((await real.getTask(key))?.head ?? 0n)) {
            last.set(taskKeyString(key), snapshot);
          }
        },
        async getTask(key, options) {
          const task = await real.getTask(key);
          const snapshot = last.get(taskKeyString(key));
          return task && options?.snapshot && snapshot ? { ...task, snapshot } : task;
        },
      };
    },
  },
  {
    name: "forgets requests once an append returned them",
    group: "commands",
    methods: (real) => ({
      async appendTask(key, append) {
        const open = (await real.getTask(key))?.commands ?? [];
        const result = await real.appendTask(key, { ...append, handled: open.map(({ id }) => id) });
        return result.outcome === "committed"
          ? { ...result, commands: open.filter(({ id }) => !append.handled.includes(id)) }
          : result;
      },
    }),
  },
  {
    name: "never trims a history",
    group: "history",
    methods: () => ({}),
    options: { maxHistoryLength: 1000 },
  },
  {
    name: "gives the oldest messages of a history for the newest",
    group: "history",
    methods: (real) => ({
      async listMessagesByContextId(scope, contextId, limit = -1) {
        const all = await real.listMessagesByContextId(scope, contextId);
        return limit === -1 ? all : all.slice(0, limit);
      },
    }),
  },
  {
    name: "follows an exactly full page of messages with an empty one",
    group: "history",
    methods: (real) => ({
      async listMessagePage(scope, contextId, page) {
        const found = await real.listMessagePage(scope, contextId, page);
        const next = { timeMs: Number.MAX_SAFE_INTEGER, taskId: "", sequence: 0n };
        return found.messages.length === page.limit ? { next, ...found } : found;
      },
    }),
  },
  {
    name: "doubles a message without a task that is stored again",
    group: "messages",
    methods: (real) => ({
      async storeMessages(scope, messages, settle) {
        await real.storeMessages(scope, messages, settle);
        await real.storeMessages(
          scope,
          messages.map((message) => ({ ...message, messageId: `${message.messageId} again` })),
        );
      },
    }),
  },
  {
    name: "accepts every claim",
    group: "claims",
    methods: () => ({ claimMessage: async () => ({ outcome: "accepted", otherContent: false }) }),
  },
  {
    name: "creates a task although another task holds its claim",
    group: "claims",
    methods: (real) => ({
      appendTask: (key, append) =>
        real.appendTask(key, append.create?.claim === undefined ? append : withoutClaim(append)),
    }),
  },
  {
    name: "keeps the claim of a deleted task",
    group: "claims",
    methods: (real) => {
      const claims = new Map<string, MessageClaim>();
      return {
        async appendTask(key, append) {
          if (append.create?.claim !== undefined) {
            claims.set(taskKeyString(key), append.create.claim);
          }
          return real.appendTask(key, append);
        },
        async deleteTask(key) {
          const deleted = await real.deleteTask(key);
          const claim = claims.get(taskKeyString(key));
          if (claim !== undefined) {
            await real.claimMessage(key, claim);
          }
          return deleted;
        },
      };
    },
  },
  {
    name: "gives up the claims of the whole conversation with a task of it",
    group: "claims",
    methods: (real) => ({
      async deleteTask(key) {
        const contextId = (await real.getTask(key))?.contextId;
        const deleted = await real.deleteTask(key);
        if (contextId !== undefined) {
          await deleteWhatever(real, key, contextId);
        }
        return deleted;
      },
    }),
  },
  {
    name: "cleans up conversations that a task holds",
    group: "conversations",
    methods: (real) => ({
      async cleanupExpiredConversations(maxAgeMs, scope) {
        const removed = await real.cleanupExpiredConversations(maxAgeMs, scope);
        await deleteWhatever(real, { tenant: "tenant", owner: "owner" }, "running");
        return removed;
      },
    }),
  },
  ...deletionFaults,
  {
    name: "cleans up by id what had expired when the cleanup began",
    group: "expiry",
    methods: (real) => ({
      async cleanupExpiredConversations(maxAgeMs, scope) {
        const expired = await real.getExpiredConversations(maxAgeMs, 100_000, scope);
        for (const [index, { contextId, ...of }] of expired.entries()) {
          if (index % 100 === 0) {
            await setImmediate();
          }
          // What is past its time can't be deleted, so it is made findable first.
          await real.storeConversation(of, { contextId, messageIds: [], lastAccessTime: new Date() });
          await real.deleteConversation(of, contextId);
        }
        return expired.length;
      },
    }),
  },
  {
    name: "lets nothing expire",
    group: "expiry",
    methods: () => ({ setRetention: async () => {} }),
  },
  {
    name: "lets conversations expire while a task runs",
    group: "expiry",
    methods: (real) => {
      let ttlMs = Number.POSITIVE_INFINITY;
      return {
        async setRetention(retention) {
          ttlMs = retention.conversationTtlMs;
          await real.setRetention(retention);
        },
        async taskExists(key) {
          const contextId = (await real.getTask(key))?.contextId;
          return contextId !== undefined && !(await isOld(real, key, contextId, ttlMs));
        },
      };
    },
  },
  {
    name: "hides what is past its time, but shows it again when its id is used again",
    group: "incarnations",
    methods: (real) => {
      let ttlMs = Number.POSITIVE_INFINITY;
      return {
        async setRetention(retention) {
          ttlMs = retention.conversationTtlMs;
        },
        async taskExists(key) {
          const contextId = (await real.getTask(key))?.contextId;
          return contextId !== undefined && !(await isOld(real, key, contextId, ttlMs));
        },
      };
    },
  },
  {
    name: "loses the fields of configs that it doesn't know",
    group: "push notifications",
    methods: (real) => ({
      async getPushNotification(key, configId) {
        const config = await real.getPushNotification(key, configId);
        const bytes = config && toBinary(TaskPushNotificationConfigSchema, config);
        return bytes && fromBinary(TaskPushNotificationConfigSchema, bytes, { readUnknownFields: false });
      },
    }),
  },
  {
    name: "keeps the configs of a deleted task",
    group: "push notifications",
    methods: (real) => ({
      async deleteTask(key) {
        const configs = await real.listPushNotifications(key);
        const task = await real.getTask(key);
        const deleted = await real.deleteTask(key);
        if (task !== undefined && configs[0] !== undefined) {
          await real.appendTask(key, resurrect(task.contextId));
          await real.storePushNotification(key, configs[0]);
        }
        return deleted;
      },
    }),
  },
  {
    name: "gives every caller the same tasks of a dead replica",
    group: "replicas",
    methods: (real) => ({
      async claimTasks({ replicas, limit }) {
        const all = await real.claimTasks({ replicas, limit: 1000 });
        return all.toSorted((a, b) => (a.taskId < b.taskId ? -1 : 1)).slice(0, limit);
      },
    }),
  },
  {
    name: "goes on calling a watch that was disposed",
    group: "replicas",
    methods: (real) => ({
      watch(replica, wake) {
        real.watch(replica, wake);
        return { [Symbol.asyncDispose]: async () => {} };
      },
    }),
  },
  {
    name: "takes ids that differ in case for the same",
    group: "ids",
    methods: (real) =>
      mapKeys(real, (key) => ("taskId" in key ? { ...key, taskId: String(key.taskId).toLowerCase() } : key)),
  },
  {
    name: "doesn't look at the owner",
    group: "scopes",
    methods: (real) => mapKeys(real, (key) => ({ ...key, owner: "" })),
  },
  {
    name: "joins tenant and owner",
    group: "scopes",
    methods: (real) => mapKeys(real, (key) => ({ ...key, tenant: key.tenant + key.owner, owner: "" })),
  },
  {
    name: "answers after it was closed",
    group: "closed",
    methods: (real) => ({ [Symbol.asyncDispose]: async () => {}, heartbeat: (replica) => real.heartbeat(replica) }),
  },
];

describe("the conformance suite finds a storage that", () => {
  test.for(faults)("$name", { timeout: 60_000 }, async ({ group, methods, options: forced }) => {
    const open = async (options?: StorageOptions) => {
      const real = createMemoryStorage({ ...options, ...forced });
      return withMethods(real, methods(real));
    };
    expect(await failuresOf(group, open, { max: 1 })).toHaveLength(1);
  });

  test("forgets what it was closed with", { timeout: 60_000 }, async () => {
    const open = async (options?: StorageOptions) => withMethods(createMemoryStorage(options), { traits: durable });
    const reopen = async (storage: Storage) => {
      await storage[Symbol.asyncDispose]();
      return open();
    };
    expect(await failuresOf("durability", open, { reopen })).toHaveLength(4);
  });
});

test("the suite finds nothing where nothing is at fault", { timeout: 60_000 }, async () => {
  const reopen = async (storage: Storage) => withMethods(storage, {});
  const failures = await Promise.all(
    [...new Set(faults.map(({ group }) => group)), "durability"].map((group) =>
      failuresOf(group, async (options) => withMethods(createMemoryStorage(options), { traits: durable }), { reopen }),
    ),
  );
  expect(failures.flat()).toEqual([]);
});

const durable: Storage["traits"] = { durable: true, shared: false, expiry: "sweep", wakeUps: "local" };

async function isOld(storage: Storage, scope: Scope, contextId: string, ttlMs: number): Promise<boolean> {
  const conversation = await storage.getConversation(scope, contextId);
  return conversation === undefined || Date.now() - conversation.lastAccessTime.getTime() > ttlMs;
}

function withoutClaim({ create, ...append }: TaskAppend): TaskAppend {
  return create === undefined ? append : { ...append, create: { contextId: create.contextId } };
}

function resurrect(contextId: string): TaskAppend {
  return {
    after: { head: 0n, batch: "", fence: 0n },
    batch: { id: "resurrected", entries: [new Uint8Array()] },
    header: { state: 2, statusTimeMs: 0, replica: "", fence: 0n, summary: new Uint8Array() },
    messages: [],
    handled: [],
    create: { contextId },
  };
}

function messageOf(messageId: string, contextId: string): Message {
  return fromBinary(
    MessageSchema,
    toBinary(MessageSchema, { $typeName: "lf.a2a.v1.Message", messageId, contextId } as Message),
  );
}
