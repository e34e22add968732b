import { strict as assert } from "node:assert";
import type { Storage } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");
const racers = Array.from({ length: 20 }, (_, index) => index);

export const appendRaceCases: readonly CaseSpec[] = [
  {
    name: "of 20 calls that create one task, one succeeds",
    async run(storage) {
      const results = await Promise.all(
        racers.map((racer) =>
          storage.appendTask(
            key,
            given.appendOf(given.nothing, { batch: `batch-${racer}`, entries: [given.textEntry(`${racer}`)] }),
          ),
        ),
      );
      const winner = results.findIndex(({ outcome }) => outcome === "committed");
      assert.deepEqual(
        results.filter((_, racer) => racer !== winner).map((result) => given.lost(result).batch),
        racers.slice(1).map(() => `batch-${winner}`),
      );
      given.assertEntries(await given.readAll(storage, key), [given.textEntry(`${winner}`)]);
    },
  },
  {
    name: "20 writers of one task leave a log without holes, each batch once and in one piece",
    async run(storage) {
      await given.commit(storage, key, given.nothing, { batch: "start" });
      await Promise.all(racers.map((racer) => appendTen(storage, racer)));
      const log = await given.readAll(storage, key, 2000);
      const runs: { batch: string; texts: string[] }[] = [];
      for (const { batch, bytes } of log.slice(1)) {
        const text = Buffer.from(bytes).toString("hex");
        const run = runs.at(-1);
        if (run?.batch === batch) {
          run.texts.push(text);
        } else {
          runs.push({ batch, texts: [text] });
        }
      }
      const expected = racers.flatMap((racer) => Array.from({ length: 10 }, (_, round) => batchOf(racer, round)));
      assert.equal(runs.length, expected.length);
      const found = new Map(runs.map(({ batch, texts }) => [batch, texts]));
      for (const { id, entries } of expected) {
        assert.deepEqual(
          found.get(id),
          entries.map((entry) => Buffer.from(entry).toString("hex")),
        );
      }
      const task = await given.taskOf(storage, key);
      assert.equal(task.head, BigInt(log.length));
      assert.equal(task.batch, runs.at(-1)?.batch);
      assert.equal(
        task.logBytes,
        log.reduce((sum, { bytes }) => sum + bytes.byteLength, 0),
      );
    },
  },
  {
    name: "a reader during appends sees a log without holes whose past never changes",
    async run(storage) {
      let position = await given.commit(storage, key, given.nothing, { entries: [given.textEntry("0")] });
      const written = [given.textEntry("0")];
      let writing = true;
      const write = async () => {
        try {
          for (let round = 1; round <= 60; round++) {
            const entries = [given.textEntry(`${round}a`), given.textEntry(`${round}b`)];
            position = await given.commit(storage, key, position, { entries });
            written.push(...entries);
          }
        } finally {
          writing = false;
        }
      };
      const read = async () => {
        do {
          const acknowledged = written.length;
          const log = await given.readAll(storage, key, 300);
          assert.ok(log.length >= acknowledged, "An acknowledged entry isn't there");
          given.assertEntries(log.slice(0, acknowledged), written.slice(0, acknowledged));
          const { head } = await given.taskOf(storage, key);
          assert.ok(head >= BigInt(log.length), "The header is behind the log");
        } while (writing);
      };
      await Promise.all([write(), read(), read()]);
      given.assertEntries(await given.readAll(storage, key), written);
    },
  },
  {
    name: "a reader that joins during appends finds the header's batch at the head, and then the following entries",
    async run(storage) {
      let position = await given.commit(storage, key, given.nothing, { entries: [given.textEntry("0")] });
      let writing = true;
      const write = async () => {
        try {
          for (let round = 1; round <= 60; round++) {
            position = await given.commit(storage, key, position, {
              entries: [given.textEntry(`${round}a`), given.fillerEntry(3000)],
            });
          }
        } finally {
          writing = false;
        }
      };
      const join = async () => {
        do {
          const task = await given.taskOf(storage, key);
          const [last] = await storage.readTask(key, task.head - 1n, 1);
          assert.deepEqual([last?.sequence, last?.batch], [task.head, task.batch]);
          const following = await storage.readTask(key, task.head, 1_000_000);
          assert.deepEqual(
            following.map(({ sequence }) => sequence),
            following.map((_, index) => task.head + BigInt(index) + 1n),
          );
          assert.equal(following.length % 2, 0, "Half of a batch is visible");
        } while (writing);
      };
      await Promise.all([write(), join(), join()]);
      assert.equal((await given.readAll(storage, key)).length, 121);
    },
  },
  {
    name: "appends to 200 tasks at once don't affect each other",
    async run(storage) {
      const keys = Array.from({ length: 200 }, (_, index) => given.taskKey(`task-${index}`));
      await Promise.all(
        keys.map(async (one) => {
          const first = await given.commit(storage, one, given.nothing, { entries: [given.textEntry(one.taskId)] });
          const second = await given.commit(storage, one, first, { entries: [given.textEntry(`${one.taskId} two`)] });
          await given.commit(storage, one, second, { entries: [given.textEntry(`${one.taskId} three`)] });
        }),
      );
      for (const one of keys) {
        const texts = ["", " two", " three"].map((suffix) => given.textEntry(one.taskId + suffix));
        given.assertEntries(await given.readAll(storage, one), texts);
      }
      assert.equal((await storage.listTasks({ scope: given.scope, limit: 1 })).total, keys.length);
    },
  },
];

function batchOf(racer: number, round: number): { readonly id: string; readonly entries: readonly Uint8Array[] } {
  const length = 1 + ((racer + round) % 3);
  return {
    id: `racer-${racer}-round-${round}`,
    entries: Array.from({ length }, (_, index) => given.textEntry(`${racer}/${round}/${index}`)),
  };
}

async function appendTen(storage: Storage, racer: number): Promise<void> {
  let after: given.Position = { head: 1n, batch: "start", fence: 1n };
  for (let round = 0, tries = 0; round < 10; tries++) {
    // For each append that is lost another is committed, and each writer commits ten.
    assert.ok(tries <= 10 * racers.length, "An append was lost although no other was committed");
    const batch = batchOf(racer, round);
    const result = await storage.appendTask(key, given.appendOf(after, { batch: batch.id, entries: batch.entries }));
    if (result.outcome === "committed") {
      assert.equal(
        result.head,
        after.head + BigInt(batch.entries.length),
        "It was appended after something else than it said",
      );
      after = { ...after, head: result.head, batch: batch.id };
      round += 1;
    } else {
      const { head, batch: last } = given.lost(result);
      after = { ...after, head, batch: last };
    }
  }
}
