import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Reporter, TestModule } from "vitest/node";
import { type CaseOutcome, type ConformanceResults, differencesOf, summaryOf } from "./conformance-table.ts";

/** Where the results of the last run that held the suite are, for `scripts/conformance-table.ts`. */
export const resultsFile = join(import.meta.dirname, "..", "..", ".cache", "storage-conformance.json");

/**
 * Prints the storages side by side at the end of a run, with what each ran on, and keeps the results. Silent where no
 * storage was proven.
 */
export class ConformanceReporter implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    const results = resultsOf(modules);
    if (Object.keys(results.engines).length === 0) {
      return;
    }
    mkdirSync(join(resultsFile, ".."), { recursive: true });
    writeFileSync(resultsFile, JSON.stringify(results));
    process.stdout.write(`\nStorage conformance\n\n${summaryOf(results)}\n\n${differencesOf(results)}\n\n`);
  }
}

function resultsOf(modules: readonly TestModule[]): ConformanceResults {
  const engines: Record<string, string> = {};
  const outcomes: CaseOutcome[] = [];
  for (const test of modules.flatMap((module) => [...module.children.allTests()])) {
    const { storageCase, storageEngine } = test.meta();
    if (storageEngine !== undefined) {
      engines[storageEngine.storage] = storageEngine.engine;
    }
    if (storageCase !== undefined) {
      outcomes.push({ ...storageCase, state: test.result().state });
    }
  }
  // The engines, which are called like their URLs, before what stands elsewhere; else the order would be that in which
  // they got done.
  const storages = Object.keys(engines).sort(
    (a, b) => Number(a.includes("/")) - Number(b.includes("/")) || (a < b ? -1 : 1),
  );
  const sorted = Object.fromEntries(storages.map((storage) => [storage, engines[storage] as string]));
  return { engines: sorted, outcomes: outcomes.filter(({ storage }) => storage in engines) };
}
