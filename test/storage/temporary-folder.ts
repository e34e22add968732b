import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { onTestFinished } from "vitest";

/** A folder of the running test's own: removed when the test passes, kept as evidence when it fails. */
export function temporaryFolder(): string {
  const folder = mkdtempSync(join(tmpdir(), "a2a-sqlite-"));
  onTestFinished(({ task }) => {
    if (task.result?.state === "pass") {
      rmSync(folder, { recursive: true, force: true });
    }
  });
  return folder;
}
