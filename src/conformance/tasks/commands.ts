import { strict as assert } from "node:assert";
import type { TaskCommand } from "../../storage/storage.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");

export const commandCases: readonly CaseSpec[] = [
  {
    name: "every append returns the open commands, oldest first, until one handles them",
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
        assert.equal(await storage.sendCommand(key, commandOf(id)), true);
      }
      assert.deepEqual(await append(), ["z", "a", "m"]);
      assert.deepEqual(await append(), ["z", "a", "m"]);
      assert.deepEqual(await append({ handled: ["a", "unknown"] }), ["z", "m"]);
      await storage.sendCommand(key, commandOf("b"));
      assert.deepEqual(idsOf((await given.taskOf(storage, key)).commands), ["z", "m", "b"]);
      assert.deepEqual(await append({ handled: ["b", "z", "m"] }), []);
      assert.deepEqual((await given.taskOf(storage, key)).commands, []);
    },
  },
  {
    name: "a command comes with its bytes",
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
    name: "the same id again is the same command",
    async run(storage) {
      await given.commit(storage, key, given.nothing);
      await Promise.all(Array.from({ length: 5 }, () => storage.sendCommand(key, commandOf("one"))));
      assert.equal(await storage.sendCommand(key, commandOf("two")), true);
      assert.equal(await storage.sendCommand(key, commandOf("one")), true);
      assert.deepEqual(idsOf((await given.taskOf(storage, key)).commands), ["one", "two"]);
    },
  },
  {
    name: "commands sent while the owner appends are all returned",
    async run(storage) {
      let position = await given.commit(storage, key, given.nothing);
      const ids = Array.from({ length: 20 }, (_, index) => `command-${index}`);
      const sending = Promise.all(ids.map((id) => storage.sendCommand(key, commandOf(id))));
      const seen = new Set<string>();
      let handled: readonly string[] = [];
      for (let round = 0; round < 10; round++) {
        const batch = `round-${round}`;
        const result = given.committed(await storage.appendTask(key, given.appendOf(position, { batch, handled })));
        position = { ...position, head: result.head, batch };
        handled = idsOf(result.commands);
        for (const id of handled) {
          assert.ok(!seen.has(id), `A handled command is still open: ${id}`);
          seen.add(id);
        }
      }
      await sending;
      for (const { id } of (await given.taskOf(storage, key)).commands) {
        seen.add(id);
      }
      assert.deepEqual([...seen].toSorted(), ids.toSorted());
    },
  },
  {
    name: "no command can be sent to a task that doesn't exist",
    async run(storage) {
      assert.equal(await storage.sendCommand(key, commandOf("one")), false);
      await given.commit(storage, key, given.nothing);
      assert.deepEqual((await given.taskOf(storage, key)).commands, []);
    },
  },
];

function commandOf(id: string): TaskCommand {
  return { id, bytes: Buffer.from(id) };
}

function idsOf(commands: readonly TaskCommand[]): readonly string[] {
  return commands.map(({ id }) => id);
}
