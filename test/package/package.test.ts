import { readdirSync, readFileSync, statSync } from "node:fs";
import { join, relative } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type InstalledPackage, installPackage } from "./installed-package.ts";

/** The package as it would be published, used from outside the repository. */

const root = join(import.meta.dirname, "../..");
const { exports: subpaths } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, unknown>>;
};
/** One name that each subpath must export. */
const exported: Readonly<Record<string, string>> = {
  ".": "createTaskManager",
  "./server": "createServer",
  "./memory": "createMemoryStorage",
  "./sqlite": "createSqliteStorage",
  "./mongodb": "createMongoStorage",
  "./gen/*": "A2AService",
  "./storage-conformance": "storageConformance",
  "./testing": "runTurn",
};
const modules = Object.entries(exported).map(([subpath, name]) => ({
  specifier: `a2a-task-manager${subpath.slice(1).replace("*", "lf/a2a/v1/a2a_pb")}`,
  name,
}));

let installed: InstalledPackage;
let withoutDriver: InstalledPackage;
beforeAll(() => {
  installed = installPackage(["mongodb", "@types/node"]);
  withoutDriver = installPackage([]);
});
afterAll(() => {
  installed[Symbol.dispose]();
  withoutDriver[Symbol.dispose]();
});

describe("every subpath of the packed package", () => {
  test("is tried here", () => {
    const others = ["./proto/*", "./package.json", "./sqlite/worker"];
    expect(Object.keys(subpaths).toSorted()).toEqual([...Object.keys(exported), ...others].toSorted());
  });

  test("is imported by an ES module", () => {
    const lines = modules.map(({ specifier, name }) => `import { ${name} } from "${specifier}";`);
    const names = modules.map(({ name }) => name);
    const file = installed.write("use.mjs", `${lines.join("\n")}\nconsole.log([${names}].every(Boolean));\n`);
    expect(installed.node(file)).toMatchObject({ status: 0, stdout: "true\n", stderr: "" });
  });

  test("is imported by a CommonJS module with import()", () => {
    const lines = modules.map(
      ({ specifier, name }) => `  if (!(await import("${specifier}")).${name}) process.exit(1);`,
    );
    const file = installed.write("use.cjs", `(async () => {\n${lines.join("\n")}\n})();\n`);
    expect(installed.node(file)).toMatchObject({ status: 0, stderr: "" });
  });

  test("holds the protos", () => {
    const file = installed.write(
      "proto.mjs",
      'import { readFileSync } from "node:fs";\n' +
        'const url = import.meta.resolve("a2a-task-manager/proto/lf/a2a/v1/a2a.proto");\n' +
        'console.log(readFileSync(new URL(url), "utf8").includes("service A2AService"));\n',
    );
    expect(installed.node(file)).toMatchObject({ status: 0, stdout: "true\n" });
  });

  test("holds protos that buf builds without anything else", () => {
    const protos = join(installed.folder, "node_modules/a2a-task-manager/dist/proto");
    const buf = join(root, "node_modules/@bufbuild/buf/bin/buf");
    expect(installed.node(buf, "build", protos)).toMatchObject({ status: 0, stderr: "" });
  });

  test("holds the code, the protos and the command alone, and is no larger than it has to be", () => {
    const home = join(installed.folder, "node_modules/a2a-task-manager");
    const files = readdirSync(home, { recursive: true, withFileTypes: true }).filter((entry) => entry.isFile());
    const names = files.map(({ parentPath, name }) => relative(home, join(parentPath, name)));
    const known =
      /^(package\.json|README\.md|LICENSE|bin\/a2a-task-manager\.cjs|dist\/proto\/.*\.proto)$|^dist\/gen\/openapi\.json$|^dist\/(src|gen)\/.*\.(js|d\.ts|js\.map)$/;
    expect(names.filter((name) => !known.test(name))).toEqual([]);
    const bytes = names.reduce((sum, name) => sum + statSync(join(home, name)).size, 0);
    // A third more than it has: it grows with the code, and not by data or by a second copy.
    expect(bytes).toBeLessThan(5_000_000);
  });

  test.each([
    { module: "NodeNext", moduleResolution: "NodeNext" },
    { module: "ESNext", moduleResolution: "Bundler" },
  ])("is typed for tsc --strict with moduleResolution $moduleResolution", ({ module, moduleResolution }) => {
    const name = `types-${moduleResolution}`;
    installed.write("package.json", '{ "type": "module" }\n');
    installed.write(`${name}.ts`, program);
    const compilerOptions = {
      ...{ module, moduleResolution, target: "es2024", types: ["node"], strict: true, noEmit: true },
      // With "dom", as without `lib`: the types of Connect name HeadersInit.
      ...{ lib: ["es2024", "dom", "esnext.disposable", "esnext.collection", "esnext.iterator"], skipLibCheck: false },
    };
    const project = installed.write(`${name}.json`, JSON.stringify({ compilerOptions, files: [`${name}.ts`] }));
    const tsc = join(root, "node_modules/typescript/bin/tsc");
    expect(installed.node(tsc, "-p", project)).toMatchObject({ status: 0, stdout: "" });
  });
});

/** Uses each subpath; the `@ts-expect-error` shows that the types are not all `any`. */
const program = `
import { completed, createTaskManager, type MessageProcessor, openStorage, type Storage } from "a2a-task-manager";
import { createServer, type ServerOptions } from "a2a-task-manager/server";
import { createMemoryStorage } from "a2a-task-manager/memory";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import { createMongoStorage, type MongoStorageOptions } from "a2a-task-manager/mongodb";
import { storageConformance } from "a2a-task-manager/storage-conformance";
import { runTurn, type Turn } from "a2a-task-manager/testing";
import { type Task, TaskState } from "a2a-task-manager/gen/lf/a2a/v1/a2a_pb";

const processor: MessageProcessor = {
  async *processMessage() {
    yield completed("Done");
  },
};
const mongo: MongoStorageOptions = { database: "a2a" };
const storages: readonly (() => Storage | Promise<Storage>)[] = [
  () => createMemoryStorage(),
  () => createSqliteStorage("tasks.db"),
  () => createMongoStorage("mongodb://localhost", mongo),
  () => openStorage("memory:"),
];
const options: ServerOptions = { processor, storage: createMemoryStorage(), listener: { port: 0 } };
await using server = await createServer(options);
await using manager = await createTaskManager(processor, createMemoryStorage());
export const isDone = ({ status }: Task) => status?.state === TaskState.COMPLETED;
export const cases: number = storageConformance(async () => createMemoryStorage()).length + storages.length;
export const url: URL = server.url;
// @ts-expect-error: A port is a number.
export const wrong: ServerOptions = { processor, storage: createMemoryStorage(), listener: { port: "0" } };
export const turn: Turn = await runTurn(processor, "hello");
// @ts-expect-error: A step's result is JSON.
export const steps: MessageProcessor = { async *processMessage({ step }) { await step("s", async () => new Date()); } };
export type Manager = typeof manager;
`;

describe("the modules that are loaded", () => {
  /** Addresses of all modules that an import asks for, its own first. */
  function loadedBy(specifier: string): readonly string[] {
    const file = installed.write(
      "loaded.mjs",
      `import { registerHooks } from "node:module";
       const loaded = new Set();
       registerHooks({
         resolve(...request) {
           const found = request.at(-1)(...request.slice(0, -1));
           loaded.add(found.url);
           return found;
         },
       });
       await import(process.argv[2]);
       console.log(JSON.stringify([...loaded]));\n`,
    );
    const { stdout, stderr } = installed.node(file, specifier);
    expect(stderr).toBe("");
    return JSON.parse(stdout);
  }

  const engine = /\/storage\/(memory|sqlite|mongodb)\//;
  const driver = /\/node_modules\/(mongodb|bson)\/|^node:sqlite$/;
  const network = /\/src\/transport\/listener\//;
  const isOf =
    (...kinds: readonly RegExp[]) =>
    (url: string) =>
      kinds.some((kind) => kind.test(url));

  test("for the package have no engine, no driver and no server among them", () => {
    const loaded = loadedBy("a2a-task-manager");
    expect(loaded.filter(isOf(engine, driver, network))).toEqual([]);
    expect(loaded.filter(isOf(/\/src\/manager\//)).length).toBeGreaterThan(10);
  });

  test("for the server have no engine and no driver among them", () => {
    const loaded = loadedBy("a2a-task-manager/server");
    expect(loaded.filter(isOf(engine, driver))).toEqual([]);
    expect(loaded.filter(isOf(network)).length).toBeGreaterThan(0);
  });

  test.each([
    { subpath: "memory", others: /\/storage\/(sqlite|mongodb)\/|\/node_modules\/(mongodb|bson)\/|^node:sqlite$/ },
    { subpath: "sqlite", others: /\/storage\/(memory|mongodb)\/|\/node_modules\/(mongodb|bson)\// },
    { subpath: "mongodb", others: /\/storage\/(memory|sqlite)\/|^node:sqlite$/ },
  ])("for $subpath are those of no other engine", ({ subpath, others }) => {
    const loaded = loadedBy(`a2a-task-manager/${subpath}`);
    expect(loaded.filter(isOf(others))).toEqual([]);
    expect(loaded.filter(isOf(new RegExp(`/storage/${subpath}/`))).length).toBeGreaterThan(0);
  });
});

describe("the command of the packed package", () => {
  const command = "node_modules/a2a-task-manager/bin/a2a-task-manager.cjs";

  test("names the command that installs the MongoDB driver if it is missing", () => {
    const { status, stderr } = withoutDriver.node(command, "serve", "--storage", "mongodb://127.0.0.1:1/a2a");
    expect(stderr).toBe(
      'Storage mongodb://127.0.0.1:1/a2a: The driver "mongodb" is not installed; run npm install mongodb@7\n',
    );
    expect(status).toBe(2);
  });

  test("finds the MongoDB driver if it is installed", () => {
    const url = "mongodb://127.0.0.1:1/a2a?serverSelectionTimeoutMS=200";
    const { status, stderr } = installed.node(command, "serve", "--storage", url);
    expect(stderr).toMatch(/^Storage mongodb:.*: MongoDB can't be reached or refused the call: /);
    expect(status).toBe(1);
  });

  test("tells its version", () => {
    const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { readonly version: string };
    expect(withoutDriver.node(command, "--version")).toMatchObject({ status: 0, stdout: `${version}\n` });
  });
});
