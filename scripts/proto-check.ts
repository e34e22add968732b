// Lints the protos and compares them with `proto/baseline.binpb`: the APIs by the rules FILE (buf.yaml), the stored
// records by WIRE_JSON. `--update-baseline` makes the current protos the new baseline after an intended breaking
// change.
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { root, runBuf } from "./buf.ts";

const baseline = "proto/baseline.binpb";

/**
 * The rules for an image as input, whose paths are relative to the module. WIRE_JSON alone allows the removal of a
 * whole record or enum, and stored data that uses it could no longer be read.
 */
const recordRules = JSON.stringify({
  version: "v2",
  breaking: {
    use: ["WIRE_JSON", "PACKAGE_ENUM_NO_DELETE", "PACKAGE_MESSAGE_NO_DELETE", "PACKAGE_NO_DELETE"],
    ignore: ["lf", "taskmanager/v1"],
  },
});

const { values } = parseArgs({ options: { "update-baseline": { type: "boolean", default: false } } });
process.exitCode = (values["update-baseline"] ? updateBaseline() : check()) ? 0 : 1;

function updateBaseline(): boolean {
  // Comments and positions are excluded, so that only a change of the contract changes the file.
  return report("baseline", runBuf("build", "proto", "--exclude-source-info", "--output", baseline));
}

function check(): boolean {
  const linted = report("lint", runBuf("lint", "proto"));
  if (!existsSync(join(root, baseline))) {
    console.error(`${baseline} does not exist, so breaking changes cannot be found; create it with --update-baseline`);
    return false;
  }
  const against = ["--exclude-imports", "--against", baseline];
  const apis = report("breaking changes, APIs", runBuf("breaking", "proto", ...against));
  const records = report("breaking changes, records", checkRecords(against));
  return linted && apis && records;
}

function checkRecords(against: readonly string[]): boolean {
  const temporary = mkdtempSync(join(tmpdir(), "proto-check-"));
  try {
    const image = join(temporary, "protos.binpb");
    return (
      runBuf("build", "proto", "--output", image) && runBuf("breaking", image, ...against, "--config", recordRules)
    );
  } finally {
    rmSync(temporary, { recursive: true, force: true });
  }
}

function report(step: string, succeeded: boolean): boolean {
  console.log(`${succeeded ? "ok" : "FAILED"}  ${step}`);
  return succeeded;
}
