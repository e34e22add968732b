import { defineConfig } from "vitest/config";
import { ConformanceReporter } from "./test/conformance/conformance-reporter.ts";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Real databases, child processes and sockets: slower than unit tests, on machines that may be busy.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    reporters: ["default", ["json", { outputFile: ".cache/vitest.json" }], new ConformanceReporter()],
    globalSetup: ["test/mongod/global-setup.ts"],
  },
});
