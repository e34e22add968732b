import { differences } from "../../examples/storages/map/differences.ts";
import { createMapStorage } from "../../examples/storages/map/map-storage.ts";
import { registerStorageConformance } from "../conformance/register.ts";

registerStorageConformance({
  name: "examples/storages/map",
  engine: async () => `Node ${process.versions.node}`,
  open: async (options) => createMapStorage(options),
  differences,
});
