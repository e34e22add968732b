import { relative } from "node:path";
import type { Reporter, TestModule, TestSpecification, Vitest } from "vitest/node";
import { BaseSequencer } from "vitest/node";

/**
 * The files that take longest, in seconds of a whole run. They start first, so that all cores are busy until the end.
 * The end of a whole run shows the ten slowest: a new one among them belongs here.
 */
const slowFiles: Readonly<Record<string, number>> = {
  "test/storage/mongodb/conformance.test.ts": 174,
  "test/storage/sqlite/conformance.test.ts": 140,
  "test/e2e/load/request-cost.test.ts": 67,
  "test/e2e/server/kill.test.ts": 44,
  "test/storage/mongodb/three-nodes.test.ts": 44,
  "test/e2e/load/large-answers.test.ts": 37,
  "test/package/package.test.ts": 23,
  "test/e2e/calls/call-table.test.ts": 20,
  "test/e2e/server/main.test.ts": 20,
  "test/storage/mongodb/expiry.test.ts": 18,
  "test/e2e/server/clock-jumps.test.ts": 15,
  "test/fuzz/fuzz.test.ts": 15,
  "test/manager/schedules.test.ts": 14,
  "test/storage/sqlite/engine.test.ts": 13,
  "test/e2e/clients/foreign-client.test.ts": 12,
  "test/storage/mongodb/explain.test.ts": 10,
  "test/e2e/server/one-server.test.ts": 9,
  "test/transport/agent-card/sign-card.test.ts": 9,
  "test/e2e/server/drain.test.ts": 8,
};

/** Starts the slowest files first, and all others in the order that Vitest chooses. */
export class SlowFilesFirst extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const secondsOf = ({ moduleId }: TestSpecification) => slowFiles[relative(this.ctx.config.root, moduleId)] ?? 0;
    return (await super.sort(files)).toSorted((a, b) => secondsOf(b) - secondsOf(a));
  }
}

const shownMax = 10;

/**
 * Prints the slowest files at the end of a run, with their hooks. Silent if the run has no more files than it shows.
 */
export class SlowFilesReporter implements Reporter {
  #root = "";

  onInit({ config }: Vitest): void {
    this.#root = config.root;
  }

  onTestRunEnd(modules: readonly TestModule[]): void {
    if (modules.length <= shownMax) return;
    const files = modules
      .map((module) => ({ file: relative(this.#root, module.moduleId), ms: module.diagnostic().duration }))
      .toSorted((a, b) => b.ms - a.ms);
    const lines = files.slice(0, shownMax).map(({ file, ms }) => `${(ms / 1000).toFixed(1).padStart(7)} s  ${file}`);
    process.stdout.write(`\nThe slowest of ${files.length} test files\n\n${lines.join("\n")}\n\n`);
  }
}
