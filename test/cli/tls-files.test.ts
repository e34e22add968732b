import { execFileSync } from "node:child_process";
import {
  chmodSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readTlsFiles, type Tls, watchTlsFiles } from "../../src/cli/tls-files.ts";
import { silentLogger } from "../../src/runtime/logger.ts";
import { ManualClock } from "../runtime/manual-clock.ts";

/** How often the files are read. */
const checkMs = 10_000;

/** Two certificates with their keys. */
let pairs: readonly [Tls, Tls];
let made: string;
beforeAll(() => {
  made = mkdtempSync(join(tmpdir(), "a2a-pairs-"));
  const make = (name: string): Tls => {
    const [cert, key] = [join(made, `${name}.pem`), join(made, `${name}-key.pem`)];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", `/CN=${name}`];
    execFileSync("openssl", ["req", "-x509", ...kind, "-keyout", key, "-out", cert], { stdio: "pipe" });
    return { cert: readFileSync(cert), key: readFileSync(key) };
  };
  pairs = [make("old"), make("new")];
});
afterAll(() => rmSync(made, { recursive: true, force: true }));

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "a2a-tls-"));
});
afterEach(() => rmSync(folder, { recursive: true, force: true }));

function write(into: string, { cert, key }: Tls): void {
  mkdirSync(into, { recursive: true });
  writeFileSync(join(into, "cert.pem"), cert);
  writeFileSync(join(into, "key.pem"), key, { mode: 0o600 });
}

/** Watches the files of a folder. */
function watch(from: string) {
  const clock = new ManualClock();
  const used: Tls[] = [];
  const faults: string[] = [];
  const logger = {
    ...silentLogger,
    error: (fields: object) => void faults.push((fields as { readonly fault: string }).fault),
  };
  const files = { cert: join(from, "cert.pem"), key: join(from, "key.pem") };
  const reload = watchTlsFiles(files, readTlsFiles(files), (tls) => void used.push(tls), { clock, logger });
  return { clock, used, faults, reload };
}

/** Puts a link in the place of another one in one step, as the tools do. */
function relink(to: string, link: string): void {
  symlinkSync(to, `${link}-new`);
  renameSync(`${link}-new`, link);
}

interface Tool {
  readonly name: string;
  /** Lays out the files as the tool does, and returns the folder that the server is given. */
  begin(): string;
  /** Replaces them. */
  replace(): void;
}

const tools: readonly Tool[] = [
  {
    name: "a copy over the files",
    begin: () => {
      write(folder, pairs[0]);
      return folder;
    },
    replace: () => write(folder, pairs[1]),
  },
  {
    name: "new files under the old names",
    begin: () => {
      write(folder, pairs[0]);
      return folder;
    },
    replace: () => {
      write(join(folder, "new"), pairs[1]);
      for (const file of ["cert.pem", "key.pem"]) renameSync(join(folder, "new", file), join(folder, file));
    },
  },
  {
    name: "Kubernetes: files are links into a linked folder, which is swapped and removed",
    begin: () => {
      write(join(folder, "..one"), pairs[0]);
      symlinkSync("..one", join(folder, "..data"));
      for (const file of ["cert.pem", "key.pem"]) symlinkSync(join("..data", file), join(folder, file));
      return folder;
    },
    replace: () => {
      write(join(folder, "..two"), pairs[1]);
      relink("..two", join(folder, "..data"));
      rmSync(join(folder, "..one"), { recursive: true });
    },
  },
  {
    name: "certbot: each file is a link, and is linked to the next number",
    begin: () => {
      write(join(folder, "archive", "1"), pairs[0]);
      mkdirSync(join(folder, "live"));
      for (const file of ["cert.pem", "key.pem"])
        symlinkSync(join("..", "archive", "1", file), join(folder, "live", file));
      return join(folder, "live");
    },
    replace: () => {
      write(join(folder, "archive", "2"), pairs[1]);
      for (const file of ["cert.pem", "key.pem"]) relink(join("..", "archive", "2", file), join(folder, "live", file));
    },
  },
];

describe("a certificate that is replaced is used at the next check", () => {
  test.each(tools)("$name", async ({ begin, replace }) => {
    const { clock, used, faults } = watch(begin());
    await clock.advance(3 * checkMs);
    expect(used).toEqual([]);
    replace();
    await clock.advance(checkMs - 1);
    expect(used).toEqual([]);
    await clock.advance(1);
    expect(used).toEqual([pairs[1]]);
    await clock.advance(3 * checkMs);
    expect([used.length, faults]).toEqual([1, []]);
  });
});

test("a reload that is asked for doesn't wait, and the checks go on", async () => {
  write(folder, pairs[0]);
  const { clock, used, reload } = watch(folder);
  write(folder, pairs[1]);
  reload();
  expect(used).toEqual([pairs[1]]);
  write(folder, pairs[0]);
  await clock.advance(checkMs);
  expect(used).toEqual([pairs[1], pairs[0]]);
});

describe("files that can't be used are told once and change nothing, and the checks go on", () => {
  const cert = () => join(folder, "cert.pem");
  const key = () => join(folder, "key.pem");

  test.each<[string, () => void, RegExp]>([
    ["half a certificate", () => truncateSync(cert(), 300), /not a PEM certificate/],
    ["an empty certificate", () => truncateSync(cert(), 0), /not a PEM certificate/],
    ["half a key", () => truncateSync(key(), 100), /not a PEM certificate/],
    ["a certificate whose key isn't there yet", () => writeFileSync(key(), pairs[0].key), /not a PEM certificate/],
    ["no certificate", () => rmSync(cert()), /^--tls-cert ".*": ENOENT/],
    ["a key that everybody can read", () => chmodSync(key(), 0o644), /^--tls-key ".*": All users can access/],
  ])("%s", async (_title, spoil, fault) => {
    write(folder, pairs[0]);
    const { clock, used, faults } = watch(folder);
    write(folder, pairs[1]);
    spoil();
    await clock.advance(3 * checkMs);
    expect([used, faults]).toEqual([[], [expect.stringMatching(fault)]]);
    rmSync(key());
    write(folder, pairs[1]);
    await clock.advance(checkMs);
    expect([used, faults.length]).toEqual([[pairs[1]], 1]);
  });

  test("a fault that is back after a good check is told again", async () => {
    write(folder, pairs[0]);
    const { clock, faults } = watch(folder);
    for (let times = 0; times < 2; times++) {
      chmodSync(key(), 0o604);
      await clock.advance(checkMs);
      chmodSync(key(), 0o640);
      await clock.advance(checkMs);
    }
    expect(faults).toHaveLength(2);
  });

  test("no fault shows what the files hold", async () => {
    write(folder, pairs[0]);
    const { clock, faults } = watch(folder);
    writeFileSync(key(), `${pairs[0].key.toString().slice(0, -60)}hunter2`);
    await clock.advance(checkMs);
    writeFileSync(cert(), "hunter2");
    await clock.advance(checkMs);
    expect(faults.length).toBeGreaterThan(0);
    expect(faults.join()).not.toContain("hunter2");
  });
});
