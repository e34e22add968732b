import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { Json } from "../../src/agent/as-json.ts";
import type { TaskContext } from "../../src/agent/message-processor.ts";
import { text } from "../../src/agent/parts.ts";
import { artifact, completed, inputRequired, textOf } from "../../src/agent/processor-events.ts";
import { createTaskManager } from "../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { createSqliteStorage } from "../../src/storage/sqlite/storage.ts";
import { crashAfter, runTurn } from "../../src/testing/index.ts";
import { agent, expectRefused, message, sent, statusText } from "../manager/fixtures.ts";
import { openMongo } from "../storage/mongodb/fixtures.ts";
import { temporaryFolder } from "../storage/temporary-folder.ts";

interface Open {
  readonly question: string;
  readonly tries?: number;
}

const asking = agent(
  async function* ({ message, state }: TaskContext) {
    const open = state.get<Open>();
    if (textOf(message) === "stop") yield completed(`asked ${open?.question}, ${open?.tries} times`);
    else {
      state.set<Open>({ question: textOf(message), tries: (open?.tries ?? 0) + 1 });
      yield inputRequired("?");
    }
  },
  { onLost: "resume" },
);

const storages = [
  { name: "memory", open: async () => createMemoryStorage() },
  { name: "SQLite", open: () => createSqliteStorage(join(temporaryFolder(), "tasks.db")) },
  { name: "MongoDB", open: () => openMongo() },
];

test.each(storages)("the state of a task is there in its later turns, also on another server, on $name", async ({
  open,
}) => {
  const storage = await open();
  onTestFinished(() => storage[Symbol.asyncDispose]());
  const first = await createTaskManager(asking, storage);
  const { id: taskId } = await sent(first, "what");
  await sent(first, message("when", { taskId }));
  await first[Symbol.asyncDispose]();
  const second = await createTaskManager(asking, storage);
  onTestFinished(() => second[Symbol.asyncDispose]());
  expect(statusText(await sent(second, message("stop", { taskId })))).toBe("asked when, 2 times");
});

describe("the state of a task", () => {
  test("is there when a lost turn runs again, and no reader sees it", async () => {
    const seen: unknown[] = [];
    const upstream = agent(
      async function* ({ attempt, state }: TaskContext) {
        seen.push(state.get());
        if (attempt === 1) state.set({ job: 7 });
        yield artifact("Job", text("begun"));
        yield completed();
      },
      { onLost: "resume" },
    );
    const turn = await runTurn(upstream, "go", crashAfter(1));
    expect(seen).toEqual([undefined, { job: 7 }]);
    expect(turn.shown).toEqual(["WORKING", "artifact Job: begun", "artifact Job: begun", "COMPLETED"]);
  });

  test("is a copy, of one task alone, and can be removed", async () => {
    const seen: unknown[] = [];
    const copies = agent(async function* ({ state }: TaskContext) {
      const value = { list: [1], none: undefined };
      seen.push(state.get());
      state.set(value);
      value.list.push(2);
      state.get<{ list: number[] }>()?.list.push(3);
      seen.push(state.get());
      state.set(undefined);
      seen.push(state.get());
      yield completed();
    });
    await (await runTurn(copies, "one")).followUp("two");
    const each = [undefined, { list: [1] }, undefined];
    expect(seen).toEqual([...each, ...each]);
  });

  test("is refused where it is no JSON, too large, after the end, and once the turn is over", async () => {
    const refused: unknown[] = [];
    let left: TaskContext | undefined;
    const wrong = agent(async function* (context: TaskContext) {
      left = context;
      const attempt = (value: unknown) => {
        try {
          context.state.set(value as Json);
        } catch (error) {
          refused.push(error);
        }
      };
      attempt(new Date());
      attempt("x".repeat(5000));
      yield completed();
      attempt(1);
    });
    await runTurn(wrong, "go", { options: { maxEventBytes: 4096 } });
    expect(refused).toMatchObject(
      ["INVALID_AGENT_RESPONSE", "TOO_LARGE", "INVALID_AGENT_RESPONSE"].map((reason) => ({ reason })),
    );
    await expectRefused(
      Promise.resolve().then(() => left?.state.set(1)),
      "UNSUPPORTED_OPERATION",
    );
  });
});
