import { create } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import { MessageSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { OpenUnderFault } from "../../src/conformance/index.ts";
import type { TaskKey } from "../../src/domain/scope.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage, TaskAppend } from "../../src/storage/storage.ts";
import { StorageError } from "../../src/storage/storage-error.ts";
import { failuresOf, withMethods } from "./mutant-storage.ts";

/** Makes an engine out of a database whose commands are the port's own calls. */
type Engine = (database: Storage) => Partial<Storage>;

/** Engines that are right until a command fails. */
const engines: readonly { readonly name: string; readonly engine: Engine }[] = [
  {
    name: "appends a batch in two steps",
    engine: (database) => ({
      async appendTask(key, { messages, ...append }) {
        const [first, ...rest] = append.batch.entries;
        if (first === undefined || rest.length === 0) {
          return database.appendTask(key, { ...append, messages });
        }
        const batch = { id: append.batch.id, entries: [first] };
        const result = await database.appendTask(key, {
          ...append,
          batch,
          messages: messages.filter(({ index }) => index === 0),
        });
        if (result.outcome !== "committed") {
          return result;
        }
        const { create: _, ...following } = append;
        return database.appendTask(key, {
          ...following,
          after: { head: result.head, batch: append.batch.id, fence: append.header.fence },
          batch: { id: append.batch.id, entries: rest },
          messages: messages
            .filter(({ index }) => index > 0)
            .map((message) => ({ ...message, index: message.index - 1 })),
        });
      },
    }),
  },
  {
    name: "doesn't know that a failure may have happened",
    engine: (database) => ({
      async appendTask(key, append) {
        try {
          return await database.appendTask(key, append);
        } catch (error) {
          throw new StorageError("unavailable", String(error));
        }
      },
    }),
  },
  {
    name: "appends again what is sent again",
    engine: (database) => ({
      async appendTask(key, append) {
        const result = await database.appendTask(key, append);
        if (result.outcome !== "lost" || append.create !== undefined || result.batch !== append.batch.id) {
          return result;
        }
        const { head, batch, fence } = result;
        return database.appendTask(key, { ...append, after: { head, batch, fence } });
      },
    }),
  },
  {
    name: "keeps the messages of a late append until it is refused",
    engine: (database) => ({
      async appendTask(key, append) {
        const late = (await database.getTask(key))?.head !== append.after.head && append.create === undefined;
        const messages = late
          ? append.messages.map(({ messageId }) => create(MessageSchema, { messageId, contextId: "context" }))
          : [];
        await database.storeMessages(key, messages);
        const result = await database.appendTask(key, append);
        for (const { messageId } of messages) {
          await database.deleteMessage(key, messageId);
        }
        return result;
      },
    }),
  },
  {
    name: "makes the conversation before it knows whether the task is refused",
    engine: (database) => ({
      async appendTask(key, append) {
        if (append.create === undefined) {
          return database.appendTask(key, append);
        }
        const { contextId } = append.create;
        const made = (await database.getConversation(key, contextId)) === undefined;
        if (made) {
          await database.storeConversation(key, { contextId, messageIds: [], lastAccessTime: new Date() });
        }
        const result = await database.appendTask(key, append);
        if (made && result.outcome !== "committed") {
          await database.deleteConversation(key, contextId);
        }
        return result;
      },
    }),
  },
  {
    name: "claims in one step and creates in another, and lets nobody else create",
    engine: (database) => ({
      async appendTask(key, append) {
        if (append.create?.claim !== undefined) {
          const claimed = await database.claimMessage(key, append.create.claim);
          if (claimed.outcome === "duplicate") {
            return (await database.taskExists({ ...key, taskId: claimed.taskId })) && claimed.taskId === key.taskId
              ? database.appendTask(key, append)
              : { outcome: "duplicate", claim: claimed };
          }
        }
        return database.appendTask(key, append);
      },
    }),
  },
  {
    name: "stores messages one by one",
    engine: (database) => ({
      async storeMessages(scope, messages, settle) {
        for (const message of messages) {
          await database.storeMessages(scope, [message], message === messages.at(-1) ? settle : undefined);
        }
      },
    }),
  },
  {
    name: "deletes a task's messages before the task",
    engine: (database) => ({
      async deleteTask(key) {
        const task = await database.getTask(key);
        for (const { messageId, taskId } of task === undefined
          ? []
          : await database.listMessagesByContextId(key, task.contextId)) {
          if (taskId === key.taskId) {
            await database.deleteMessage(key, messageId);
          }
        }
        return database.deleteTask(key);
      },
    }),
  },
  {
    name: "deletes a conversation's tasks before the conversation",
    engine: (database) => ({
      async deleteConversation(scope, contextId) {
        for (const { key } of (await database.listTasks({ scope, contextId, limit: 100 })).tasks) {
          await database.deleteTask(key);
        }
        return database.deleteConversation(scope, contextId);
      },
    }),
  },
  {
    name: "acknowledges what was never carried out",
    engine: (database) => ({
      storeSnapshot: (key, snapshot) => database.storeSnapshot(key, snapshot).catch(() => undefined),
    }),
  },
];

/** Engines that write to the histories at the wrong time, and the part of a case's name that must find each. */
const lateEngines: readonly { readonly name: string; readonly engine: Engine; readonly found: string }[] = [
  {
    name: "adds messages to the history after the append, or when it is sent again",
    engine: (database) => ({
      async appendTask(key, append) {
        const result = await database.appendTask(key, { ...append, messages: [] });
        if (result.outcome === "committed" || (result.outcome === "lost" && result.batch === append.batch.id)) {
          await storeLater(database, key, append);
        }
        return result;
      },
    }),
    found: "no batch is sent again",
  },
  {
    name: "adds messages to the history after the append, and takes an append that makes room as complete when it is in the log",
    engine: (database) => ({
      async appendTask(key, append) {
        const result = await database.appendTask(key, { ...append, messages: [] });
        const makesRoom = append.after.head > 0n && append.batch.entries.some(({ byteLength }) => byteLength > 20_000);
        if (
          result.outcome === "committed" ||
          (result.outcome === "lost" && result.batch === append.batch.id && !makesRoom)
        ) {
          await storeLater(database, key, append);
        }
        return result;
      },
    }),
    found: "makes room in the log",
  },
  {
    name: "stores messages before it settles their claim",
    engine: (database) => ({
      async storeMessages(scope, messages, settle) {
        await database.storeMessages(scope, messages);
        await database.storeMessages(scope, messages, settle);
      },
    }),
    found: "an answer that was cut off",
  },
];

async function storeLater(database: Storage, key: TaskKey, { messages }: TaskAppend): Promise<void> {
  const stored = messages.map(({ messageId }) => create(MessageSchema, { messageId, contextId: "context" }));
  await database.storeMessages(key, stored);
}

describe("with a fault at every command, the conformance suite finds a storage that", () => {
  test.for(engines)("$name", { timeout: 60_000 }, async ({ engine }) => {
    const failures = await failuresOf("faults", async () => createMemoryStorage(), {
      max: 1,
      faults: underFault(engine),
    });
    expect(failures).toEqual([expect.stringMatching(/With a fault (before|after) command/)]);
  });
});

describe("with a fault at every command, the case made for it finds a storage that", () => {
  test.for(lateEngines)("$name", { timeout: 60_000 }, async ({ engine, found }) => {
    const failures = await failuresOf("faults", async () => createMemoryStorage(), { faults: underFault(engine) });
    expect(failures).toContainEqual(expect.stringMatching(new RegExp(`${found}.*With a fault (before|after) command`)));
  });
});

test("with a fault at every command, the suite finds nothing where each call is one command", {
  timeout: 60_000,
}, async () => {
  expect(await failuresOf("faults", async () => createMemoryStorage(), { faults: underFault(() => ({})) })).toEqual([]);
});

test("a hook whose fault never strikes is no proof", { timeout: 60_000 }, async () => {
  const faults: OpenUnderFault = async (fault, options) => {
    const opened = await underFault(() => ({}))(fault, options);
    return { ...opened, arm: () => {}, struck: false };
  };
  const failures = await failuresOf("faults", async () => createMemoryStorage(), { max: 1, faults });
  expect(failures).toEqual([expect.stringContaining("The fault never happened")]);
});

/** An engine over a memory storage as its database, of which one call fails. */
function underFault(engine: Engine): OpenUnderFault {
  return async ({ step, effect, crash }, options) => {
    const real = createMemoryStorage(options);
    let armed = false;
    let steps = 0;
    let struck = false;
    let dead = false;
    const database = new Proxy(real, {
      get(target, name) {
        const value: unknown = Reflect.get(target, name, target);
        if (typeof value !== "function" || typeof name === "symbol") {
          return value;
        }
        return async (...args: unknown[]) => {
          if (dead) {
            throw new StorageError("unavailable", "Injected: the process has ended");
          }
          if (!armed || steps++ !== step) {
            return Reflect.apply(value, target, args);
          }
          struck = true;
          dead = crash;
          if (effect === "after") {
            await Reflect.apply(value, target, args);
          }
          throw new StorageError("unavailable", `Injected: ${name} fails`, {
            outcome: effect === "after" || crash ? "unknown" : "none",
          });
        };
      },
    });
    return {
      storage: withMethods(database, engine(database)),
      arm() {
        armed = true;
      },
      get struck() {
        return struck;
      },
      async reopen() {
        armed = false;
        return withMethods(real, engine(real));
      },
      [Symbol.asyncDispose]: () => real[Symbol.asyncDispose](),
    };
  };
}
