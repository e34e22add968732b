import { readFileSync } from "node:fs";
import { createSecureContext } from "node:tls";
import type { Clock } from "../runtime/clock.ts";
import type { Logger } from "../runtime/logger.ts";
import { readKeyFile } from "./key-file.ts";

export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

export interface Tls {
  readonly cert: Buffer;
  readonly key: Buffer;
}

/** How often the files are read again. They are small, and a new certificate is issued days before it is needed. */
const checkMs = 10_000;

/** The certificate and its key. Throws an Error, which names the setting, for files that can't be used. */
export function readTlsFiles({ cert, key }: TlsFiles): Tls {
  const tls = bytesOf({ cert, key });
  check(tls);
  return tls;
}

function bytesOf({ cert, key }: TlsFiles): Tls {
  return {
    cert: named(`--tls-cert "${cert}"`, () => readFileSync(cert)),
    key: named(`--tls-key "${key}"`, () => readKeyFile(key)),
  };
}

/** Also fails for a key that doesn't belong to the certificate. */
function check(tls: Tls): void {
  named("--tls-cert, --tls-key: not a PEM certificate with its PEM private key", () => createSecureContext(tls));
}

function named<Result>(what: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw new Error(`${what}: ${error instanceof Error ? error.message : String(error)}`);
  }
}

/**
 * Reads the files again at intervals, and at each call of the result, and hands on a certificate and key that differ
 * from the last ones. Compares contents, since tools replace files in many ways: by renaming, by a link to another
 * folder, in place. Files that can't be used are logged once as an error, and change nothing: one of the two may
 * already be new and the other still old.
 */
export function watchTlsFiles(
  files: TlsFiles,
  first: Tls,
  use: (tls: Tls) => void,
  { clock, logger }: { readonly clock: Clock; readonly logger: Logger },
): () => void {
  let used = first;
  let fault: string | undefined;
  const reload = () => {
    try {
      const read = bytesOf(files);
      if (!read.cert.equals(used.cert) || !read.key.equals(used.key)) {
        check(read);
        use(read);
        used = read;
        logger.info({}, "The TLS certificate was replaced");
      }
      fault = undefined;
    } catch (error) {
      const text = error instanceof Error ? error.message : String(error);
      if (text !== fault)
        logger.error({ err: error, fault: text }, "The TLS certificate stays: its new files can't be used");
      fault = text;
    }
  };
  const checkLater = () =>
    void clock.after(checkMs, () => {
      reload();
      checkLater();
    });
  checkLater();
  return reload;
}
