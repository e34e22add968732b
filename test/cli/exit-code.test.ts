import { chmodSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, it } from "vitest";
import { runMain } from "../e2e/serve-process.ts";

let folder: string;

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "a2a-exit-"));
  writeFileSync(join(folder, "empty.ts"), "export default {};\n");
  writeFileSync(join(folder, "broken.ts"), "export default {\n");
  writeFileSync(join(folder, "file"), "");
  writeFileSync(join(folder, "none-in-it"), "", { mode: 0o600 });
  writeFileSync(join(folder, "open.pem"), "");
  // By itself, so that the mask of the user that runs the test doesn't count.
  chmodSync(join(folder, "open.pem"), 0o644);
  writeFileSync(join(folder, "url"), "mongodbb://user:hidden@host/db\n");
});

afterAll(() => rmSync(folder, { recursive: true, force: true }));

const memory = ["--storage", "memory:", "--port", "0"];
const cases: readonly {
  name: string;
  args: () => readonly string[];
  env?: Readonly<Record<string, string>>;
  code: number;
  stderr: RegExp;
}[] = [
  { name: "--help", args: () => ["--help"], code: 0, stderr: /^$/ },
  { name: "--version", args: () => ["--version"], code: 0, stderr: /^$/ },
  {
    name: "faults, all of them",
    args: () => ["--port", "x", "--prot"],
    env: { A2A_TM_HOST: "0.0.0.0", A2A_TM_PROT: "1" },
    code: 2,
    stderr: /^--prot: .*\nA2A_TM_PROT: .*\n--port \(A2A_TM_PORT\): .*\nA2A_TM_HOST \(--host\): .*\n$/,
  },
  {
    name: "a processor that isn't there",
    args: () => [...memory, "--processor", join(folder, "none.ts")],
    code: 2,
    stderr: /^--processor: File ".*none\.ts" does not exist\n$/,
  },
  {
    name: "a module that is no processor",
    args: () => [...memory, "--processor", join(folder, "empty.ts")],
    code: 2,
    stderr: /^--processor: The default export of ".*empty\.ts" is not a MessageProcessor/,
  },
  {
    name: "a module that can't be loaded",
    args: () => [...memory, "--processor", join(folder, "broken.ts")],
    code: 2,
    stderr: /^--processor: Cannot load ".*broken\.ts": /,
  },
  {
    name: "a certificate that can't be read",
    args: () => [...memory, "--tls-cert", join(folder, "none.pem"), "--tls-key", join(folder, "none.pem")],
    code: 2,
    stderr: /^--tls-cert ".*none\.pem": ENOENT/,
  },
  {
    name: "a certificate that is none",
    args: () => [...memory, "--tls-cert", join(folder, "file"), "--tls-key", join(folder, "none-in-it")],
    code: 2,
    stderr: /^--tls-cert, --tls-key: not a PEM certificate with its PEM private key: .*\n$/,
  },
  {
    name: "a TLS key that all users can read",
    args: () => [...memory, "--tls-cert", join(folder, "file"), "--tls-key", join(folder, "open.pem")],
    code: 2,
    stderr: /^--tls-key ".*": All users can access the private key in ".*open\.pem"; run chmod o-rw on it\n$/,
  },
  {
    name: "a card key that all users can read",
    args: () => [...memory, "--card-key", join(folder, "open.pem")],
    code: 2,
    stderr: /^--card-key: All users can access the private key in ".*open\.pem"; run chmod o-rw on it\n$/,
  },
  {
    name: "a file without a storage URL, without what is in it",
    args: () => ["--port", "0", "--storage-file", join(folder, "url")],
    code: 2,
    stderr: /^--storage-file ".*url": must hold (?!.*hidden)one of memory:, .*\n$/,
  },
  {
    name: "a MongoDB URL whose password has an @, without the password",
    args: () => ["--port", "0", "--storage", "mongodb://user:s3@hidden@127.0.0.1:1/x"],
    code: 2,
    stderr: /^--storage \(A2A_TM_STORAGE\): must be (?!.*hidden)mongodb:.*\n$/,
  },
  {
    name: "a storage that can't be opened",
    args: () => ["--port", "0", "--storage", `sqlite:${join(folder, "file", "tasks.db")}`],
    code: 1,
    stderr: /^Storage sqlite:.*: The folder of .* can't be made: (ENOTDIR|EEXIST): .*\n$/,
  },
  {
    name: "a MongoDB that isn't there",
    args: () => ["--port", "0", "--storage", "mongodb://127.0.0.1:1/x?serverSelectionTimeoutMS=200"],
    code: 1,
    stderr: /^Storage mongodb:.*: MongoDB can't be reached or refused the call: connect ECONNREFUSED 127\.0\.0\.1:1\n$/,
  },
  {
    name: "a MongoDB URL that can't be used, without the password in it",
    args: () => ["--port", "0", "--storage", "mongodb://user:hidden@host/x?nonsense=1"],
    code: 1,
    stderr: /^Storage (?!.*hidden)mongodb:.*: The MongoDB URL is malformed or has an unknown option\n$/,
  },
];

it.each(cases)("$name ends with its exit code and says why", async ({ args, env, code, stderr }) => {
  const { exited, text } = runMain(args(), env);
  expect(await exited).toBe(code);
  expect(text.stderr).toMatch(stderr);
});
