import { strict as assert } from "node:assert";
import type { TaskCommand } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");

export const requestCases: readonly CaseSpec[] = [
  {
    name: "every append returns the open requests, oldest first, until one answers them",
    async run(storage) {
      let position = await given.commit(storage, key, given.nothing);
      const append = async (parts: given.AppendParts = {}) => {
        const result = given.committed(
          await storage.appendTask(key, given.appendOf(position, { ...parts, batch: `at-${position.head}` })),
        );
        position = { ...position, head: result.head, batch: `at-${position.head}` };
        return idsOf(result.commands);
      };
      for (const id of ["z", "a", "m"]) {
        assert.equal(await storage.sendCommand(key, requestOf(id)), true);
      }
      assert.deepEqual(await append(), ["z", "a", "m"]);
      assert.deepEqual(await append(), ["z", "a", "m"]);
      assert.deepEqual(await append({ answered: ["a", "unknown"] }), ["z", "m"]);
      await storage.sendCommand(key, requestOf("b"));
      assert.deepEqual(idsOf((await given.taskOf(storage, key)).commands), ["z", "m", "b"]);
      assert.deepEqual(await append({ answered: ["b", "z", "m"] }), []);
      assert.deepEqual((await given.taskOf(storage, key)).commands, []);
    },
  },
  {
    name: "a request brings its bytes",
    async run(storage) {
      const position = await given.commit(storage, key, given.nothing);
      const bytes = given.fillerEntry(5000);
      await storage.sendCommand(key, { id: "large", bytes });
      given.assertBytes((await given.taskOf(storage, key)).commands[0]?.bytes, bytes);
      const result = given.committed(await storage.appendTask(key, given.appendOf(position)));
      given.assertBytes(result.commands[0]?.bytes, bytes);
    },
  },
  {
    name: "the same id again is the same request",
    async run(storage) {
      await given.commit(storage, key, given.nothing);
      await Promise.all(Array.from({ length: 5 }, () => storage.sendCommand(key, requestOf("one"))));
      assert.equal(await storage.sendCommand(key, requestOf("two")), true);
      assert.equal(await storage.sendCommand(key, requestOf("one")), true);
      assert.deepEqual(idsOf((await given.taskOf(storage, key)).commands), ["one", "two"]);
    },
  },
  {
    name: "requests made while the owner appends are all returned sooner or later",
    async run(storage) {
      let position = await given.commit(storage, key, given.nothing);
      const ids = Array.from({ length: 20 }, (_, index) => `request-${index}`);
      const asking = Promise.all(ids.map((id) => storage.sendCommand(key, requestOf(id))));
      const seen = new Set<string>();
      let answered: readonly string[] = [];
      for (let round = 0; round < 10; round++) {
        const batch = `round-${round}`;
        const result = given.committed(await storage.appendTask(key, given.appendOf(position, { batch, answered })));
        position = { ...position, head: result.head, batch };
        answered = idsOf(result.commands);
        for (const id of answered) {
          assert.ok(!seen.has(id), `An answered request is still open: ${id}`);
          seen.add(id);
        }
      }
      await asking;
      for (const { id } of (await given.taskOf(storage, key)).commands) {
        seen.add(id);
      }
      assert.deepEqual([...seen].toSorted(), ids.toSorted());
    },
  },
  {
    name: "nothing can be asked of a task that doesn't exist",
    async run(storage) {
      assert.equal(await storage.sendCommand(key, requestOf("one")), false);
      await given.commit(storage, key, given.nothing);
      assert.deepEqual((await given.taskOf(storage, key)).commands, []);
    },
  },
];

function requestOf(id: string): TaskCommand {
  return { id, bytes: Buffer.from(id) };
}

function idsOf(requests: readonly TaskCommand[]): readonly string[] {
  return requests.map(({ id }) => id);
}
