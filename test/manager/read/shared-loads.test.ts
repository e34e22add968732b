import { describe, expect, it } from "vitest";
import type { MessageProcessor } from "../../../src/agent/message-processor.ts";
import { artifact, completed } from "../../../src/agent/processor-events.ts";
import type { AnswerRoom, SharedAnswer } from "../../../src/manager/read/answer-room.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { sent, setup } from "../fixtures.ts";

/** Fills a task with 64 parts of 4 KiB: more than is loaded without room. */
const filling: MessageProcessor = {
  async *processMessage() {
    const parts = [{ content: { case: "text", value: "x".repeat(4096) } }] as const;
    for (let index = 0; index < 64; index++)
      yield artifact({ artifactId: "a", parts: [...parts] }, { append: index > 0 });
    yield completed();
  },
};

/** Rooms of several calls. They share by source, as on a server. */
function rooms() {
  const sources = new Map<string, SharedAnswer>();
  const taken: number[] = [];
  let open: Promise<void> | undefined;
  const room = (): AnswerRoom => ({
    share(source, bytes) {
      const shared = sources.get(source) ?? { load: undefined, views: new Map() };
      sources.set(source, shared);
      taken.push(bytes);
      return open === undefined ? shared : open.then(() => shared);
    },
    release: () => undefined,
  });
  return {
    room,
    sources,
    taken,
    hold() {
      const { promise, resolve } = Promise.withResolvers<void>();
      open = promise;
      return resolve;
    },
  };
}

/** Whether a call of `getTask` asks for the snapshot however large the task is: the load begins with it. */
function isWhole([, options]: readonly unknown[]): boolean {
  const { snapshot = false, logBytesMax = 0 } = (options ?? {}) as { snapshot?: boolean; logBytesMax?: number };
  return snapshot && logBytesMax > 1024 * 1024;
}

async function filled() {
  const all = await setup(filling);
  const { id } = await sent(all.manager, "fill");
  await settle();
  const reads = () => all.faulty.calls.filter(({ method, args }) => method === "getTask" && isWhole(args)).length;
  return { ...all, id, reads };
}

describe("a large task", () => {
  it("is loaded once for all who ask for it at one sequence, over GetTask and streams", async () => {
    const { manager, id, reads } = await filled();
    await manager.getTask(id);
    const once = reads();
    expect(once).toBeGreaterThan(0);
    const { room, sources } = rooms();
    const got = Array.from({ length: 20 }, () => manager.getTask(id, undefined, {}, room()));
    const streams = Array.from({ length: 20 }, () => manager.watchTask(id, undefined, undefined, { room: room() }));
    const firsts = await Promise.all(streams.map((stream) => stream[Symbol.asyncIterator]().next()));
    const tasks = (await Promise.all(got)).map(({ task }) => task);
    expect(reads() - once).toBe(once);
    expect(sources.size).toBe(1);
    const artifacts = new Set(
      [...tasks, ...firsts.map(({ value }) => value?.payload.value as (typeof tasks)[0])].map((task) => task.artifacts),
    );
    expect(artifacts.size).toBe(1);
    expect(new Set(tasks).size).toBe(20);
    await Promise.all(streams.map((stream) => stream.close()));
  });

  it("is loaded only once there is room for it", async () => {
    const { manager, id, reads } = await filled();
    const before = reads();
    const { room, taken, hold } = rooms();
    const release = hold();
    const got = manager.getTask(id, undefined, {}, room());
    await settle();
    expect([reads() - before, taken.length]).toEqual([0, 1]);
    expect(taken[0]).toBeGreaterThan(64 * 4096);
    release();
    expect((await got).task.artifacts[0]?.parts.length).toBe(64);
  });

  it("is loaded again after a load that failed", async () => {
    const { manager, faulty, id } = await filled();
    const { room } = rooms();
    faulty.fail({ methods: "getTask", fault: "corrupt", times: 1, when: isWhole });
    await expect(manager.getTask(id, undefined, {}, room())).rejects.toMatchObject({ reason: "DATA_LOSS" });
    expect((await manager.getTask(id, undefined, {}, room())).task.artifacts[0]?.parts.length).toBe(64);
  });

  it("shows each caller the part of the history that it asked for", async () => {
    const { manager, id } = await filled();
    const { room } = rooms();
    const lengths = [undefined, 0, 1, 5];
    const got = await Promise.all(
      lengths.map((historyLength) => manager.getTask(id, undefined, { historyLength }, room())),
    );
    expect(got.map(({ task }) => task.history.length)).toEqual([1, 0, 1, 1]);
  });
});
