import { defineConfig } from "vitest/config";

/** The tests that need a MongoDB server alone: `vitest run --config test/mongod/vitest.mongod.config.ts`. */
export default defineConfig({
  test: {
    root: `${import.meta.dirname}/../..`,
    include: ["test/storage/mongodb*.test.ts"],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    globalSetup: ["test/mongod/global-setup.ts"],
  },
});
