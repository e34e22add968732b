import { createMemoryStorage } from "../../src/storage/memory/memory-storage.ts";
import { registerStorageConformance } from "./register.ts";

registerStorageConformance("memory:", async (options) => createMemoryStorage(options));
