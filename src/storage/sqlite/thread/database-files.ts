import { statSync } from "node:fs";
import { StorageError } from "../../storage-error.ts";

/**
 * Remembers which files these paths name now. The result throws "lost" while one of them names no file, or another one:
 * what is written then goes to files that nobody can open any more.
 */
export function watchFiles(paths: readonly string[]): () => void {
  const files = paths.map((path) => ({ path, identity: identityOf(path) }));
  return () => {
    for (const { path, identity } of files) {
      const present = identityOf(path);
      if (present === undefined || present !== identity) {
        throw new StorageError(
          "lost",
          `The file "${path}" was ${present === undefined ? "removed" : "replaced"} while it was in use; ` +
            "put it back, or restart the server to begin with what is there",
        );
      }
    }
  };
}

function identityOf(path: string): string | undefined {
  // As big integers: some file systems number their files beyond 2^53.
  const stats = statSync(path, { bigint: true, throwIfNoEntry: false });
  return stats && `${stats.dev}:${stats.ino}`;
}
