import { closeSync, fstatSync, openSync, readFileSync } from "node:fs";
import { platform } from "node:os";

/** The permissions of POSIX by which every user of the machine may read or write a file. */
const othersMode = 0o006;

/**
 * The bytes of a file that holds a private key. Throws an Error if every user of the machine may read or write it. On
 * Windows access lists decide that, which Node does not show: nothing is checked there.
 */
export function readKeyFile(file: string): Buffer {
  // The file that is checked is the one that is read, even if its name leads to another one meanwhile.
  const descriptor = openSync(file, "r");
  try {
    if (platform() !== "win32" && (fstatSync(descriptor).mode & othersMode) !== 0)
      throw new Error(`All users can access the private key in "${file}"; run chmod o-rw on it`);
    return readFileSync(descriptor);
  } finally {
    closeSync(descriptor);
  }
}
