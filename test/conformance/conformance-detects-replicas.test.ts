import { describe, expect, test } from "vitest";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage, StorageOptions } from "../../src/storage/storage.ts";
import { failuresOf, withMethods } from "./mutant-storage.ts";

const faults: readonly {
  readonly name: string;
  readonly group: string;
  readonly methods: (real: Storage) => Partial<Storage>;
}[] = [
  {
    name: "makes the record of a replica anew at a heartbeat",
    group: "replicas",
    methods: (real) => ({
      async heartbeat(replica) {
        await real.register(replica);
        return real.heartbeat(replica);
      },
    }),
  },
  {
    name: "buries a replica that has sent a heartbeat meanwhile",
    group: "replicas",
    methods: (real) => ({ deregister: (replica) => real.deregister(replica) }),
  },
  {
    name: "lists only the runners that have a record",
    group: "replicas",
    methods: (real) => ({
      async listRunners(page) {
        const living = (await real.listReplicas()).map(({ replica }) => replica);
        return (await real.listRunners(page)).filter((runner) => living.includes(runner));
      },
    }),
  },
];

describe("the conformance suite finds a storage that", () => {
  test.for(faults)("$name", { timeout: 60_000 }, async ({ group, methods }) => {
    const open = async (options?: StorageOptions) => {
      const real = createMemoryStorage(options);
      return withMethods(real, methods(real));
    };
    expect(await failuresOf(group, open, { max: 1 })).toHaveLength(1);
  });
});
