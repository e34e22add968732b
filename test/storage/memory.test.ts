import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { registerStorageConformance } from "../conformance/register.ts";

registerStorageConformance({
  name: "memory:",
  engine: async () => `Node ${process.versions.node}`,
  open: async (options) => createMemoryStorage(options),
  differences: {
    "durability: *": "It keeps everything in the memory of its process",
    "faults: *":
      "Each of its calls is one step in its process: there is no command between it and a database that could fail",
  },
});
