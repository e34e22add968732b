import { availableParallelism } from "node:os";
import { join } from "node:path";
import { defineConfig } from "vitest/config";
import { ConformanceReporter } from "./test/conformance/conformance-reporter.ts";
import { SlowFilesFirst, SlowFilesReporter } from "./test/runner/slow-files.ts";

// Tests start hundreds of processes and worker threads from TypeScript: they share what Node compiled once.
process.env.NODE_COMPILE_CACHE ??= join(import.meta.dirname, ".cache", "compile");

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    // Real databases, child processes and sockets: slower than unit tests, on machines that may be busy.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: "forks",
    // The default leaves one core idle, which on two cores is half of the machine.
    maxWorkers: Math.max(2, availableParallelism()),
    sequence: { sequencer: SlowFilesFirst },
    reporters: [
      "default",
      ["json", { outputFile: ".cache/vitest.json" }],
      new ConformanceReporter(),
      new SlowFilesReporter(),
    ],
    globalSetup: ["test/mongod/global-setup.ts"],
  },
});
