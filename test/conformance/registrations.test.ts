import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { beforeAll, describe, expect, test, vi } from "vitest";
import { storageConformance } from "../../src/conformance/index.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { findEscapes, registeringFiles, type StorageFactory, type StorageInventory } from "./escapes.ts";
import type { Registration } from "./register.ts";

const root = join(import.meta.dirname, "..", "..");

// ── What there is ──

// Beside the engines there is `tables`, which several of them share.
const engines = globSync("src/storage/*/", { cwd: root }).filter((folder) => folder !== "src/storage/tables");
const examples = globSync("examples/storages/*", { cwd: root }).filter((place) => !place.endsWith(".md"));
const { exports: subpaths } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as {
  readonly exports: Readonly<Record<string, string | { readonly default: string }>>;
};
const factories = Object.values(subpaths).flatMap((target) => {
  const [, file = ""] =
    /^\.\/dist\/(src\/storage\/.*)\.js$/.exec(typeof target === "string" ? target : target.default) ?? [];
  if (file === "") return [];
  const source = readFileSync(join(root, `${file}.ts`), "utf8");
  const exported = [...source.matchAll(/^export (?:async )?function (\w+)/gm)].map(([, name = ""]) => name);
  return factoriesIn(exported.join(" "), `${file}.ts`);
});
const exampleFactories = globSync("examples/storages/**/*.ts", { cwd: root }).flatMap((file) => {
  const exported = readFileSync(join(root, file), "utf8").matchAll(/export (?:async )?function (\w+)/g);
  return [...exported].flatMap(([, name = ""]) => factoriesIn(name, file));
});

function factoriesIn(names: string, file: string): readonly StorageFactory[] {
  return [...names.matchAll(/\bcreate\w*Storage\b/g)].map(([name]) => ({ name, file }));
}

// ── What is registered: every test file that calls for the suite is loaded, with a suite that only notes what it is
// called with ──

const registered: Registration[] = [];
const makers = new WeakMap<Storage, string>();
vi.doMock("./register.ts", () => ({
  registerStorageConformance: (registration: Registration) => registered.push(registration),
}));
for (const { name, file } of [...factories, ...exampleFactories]) {
  const path = join(root, file);
  vi.doMock(path, async (original) => {
    const real = (await original()) as Record<string, (...args: unknown[]) => unknown>;
    const make = (...args: unknown[]) => {
      const made = real[name]?.(...args);
      return made instanceof Promise ? made.then(note) : note(made);
    };
    return { ...real, [name]: make };

    function note(storage: unknown): unknown {
      makers.set(storage as Storage, name);
      return storage;
    }
  });
}
for (const file of registeringFiles(root)) {
  await import(join(root, file));
}

async function openedBy({ open }: Registration): Promise<readonly string[]> {
  await using storage = await open();
  const maker = makers.get(storage);
  return maker === undefined ? [] : [maker];
}

let taken: Promise<StorageInventory> | undefined;

/**
 * Opens a storage of each registration, in the first test that asks: some need a running test to clean up behind them.
 */
function inventory(): Promise<StorageInventory> {
  taken ??= Promise.all(registered.map(async (one) => [one.name, await openedBy(one)] as const)).then((opened) => ({
    engines,
    factories,
    examples,
    exampleFactories,
    opened: Object.fromEntries(opened),
  }));
  return taken;
}

describe("the suite", () => {
  test("is asked of every engine, of everything that the package makes storages with, and of every example", async () => {
    expect(findEscapes(await inventory())).toEqual([]);
    expect(engines.length).toBeGreaterThanOrEqual(3);
    expect(examples.length).toBeGreaterThanOrEqual(1);
    expect(factories.length).toBeGreaterThanOrEqual(engines.length);
  });

  const redis = { name: "createRedisStorage", file: "src/storage/redis/storage.ts" };
  test.each([
    {
      name: "a new engine's folder",
      change: ({ engines, ...rest }: StorageInventory) => ({ ...rest, engines: [...engines, "src/storage/redis"] }),
      says: "src/storage/redis has no factory that package.json exports as create…Storage",
    },
    {
      name: "an exported factory that no registration opens",
      change: ({ engines, factories, ...rest }: StorageInventory) => ({
        ...rest,
        engines: [...engines, "src/storage/redis"],
        factories: [...factories, redis],
      }),
      says: "createRedisStorage of src/storage/redis/storage.ts is under no registration with the suite",
    },
    {
      name: "an engine that lost its registration",
      change: ({ opened, ...rest }: StorageInventory) => ({
        ...rest,
        opened: { ...opened, "sqlite:": ["createMemoryStorage"] },
      }),
      says: "createSqliteStorage of src/storage/sqlite/storage.ts is under no registration with the suite",
    },
    {
      name: "a registration with a storage of its own in place of the engine's",
      change: ({ opened, ...rest }: StorageInventory) => ({ ...rest, opened: { ...opened, "other:": [] } }),
      says: 'The registration "other:" opens no storage of a known factory',
    },
    {
      name: "a new example",
      change: ({ examples, ...rest }: StorageInventory) => ({
        ...rest,
        examples: [...examples, "examples/storages/redis"],
      }),
      says: "examples/storages/redis exports nothing that is called create…Storage",
    },
    {
      name: "a new example's factory that no registration opens",
      change: ({ examples, exampleFactories, ...rest }: StorageInventory) => ({
        ...rest,
        examples: [...examples, "examples/storages/redis.ts"],
        exampleFactories: [...exampleFactories, { name: "createRedisStorage", file: "examples/storages/redis.ts" }],
      }),
      says: "createRedisStorage of examples/storages/redis.ts is under no registration with the suite",
    },
  ])("finds what escapes it: $name", async ({ change, says }) => {
    expect(findEscapes(change(await inventory()))).toEqual([says]);
  });
});

describe("docs/storage-conformance.md", () => {
  let page: string;
  beforeAll(() => {
    page = readFileSync(join(root, "docs/storage-conformance.md"), "utf8");
  });

  test("has every case of the suite, every storage and every declared difference, and no others", () => {
    const cases = storageConformance(() => Promise.reject(new Error("Not to be run")));
    const expected = [...Map.groupBy(cases, ({ group }) => group)].flatMap(([group, some]) => [
      `# ${group}`,
      ...some.map(({ name }) => name),
    ]);
    const all = page.slice(page.indexOf("## All cases"));
    const found = [...all.matchAll(/^(?:##(# .*)|\| (.*?) +\| [✓≠✗ |]+)$/gm)].map(([, group, name]) => group ?? name);
    expect(found, "The page is stale: run `node scripts/conformance-table.ts --write`").toEqual(expected);
    expect(cellsOf(page, /^\| +\| (.*) \|$/m).toSorted()).toEqual(registered.map(({ name }) => name).toSorted());
    const reasons = registered.flatMap(({ name, differences = {} }) =>
      Object.values(differences).map((reason) => `${name}: ${reason}`),
    );
    const section = page.slice(page.indexOf("## Declared differences"), page.indexOf("## All cases"));
    const rows = [...section.matchAll(/^\| (\S+) +\| .*? +\| (.*?) +\|$/gm)].map(
      ([, storage, reason]) => `${storage}: ${reason}`,
    );
    expect(rows.filter((row) => !row.startsWith("storage: ")).toSorted()).toEqual(reasons.toSorted());
  });

  test("shows nothing that failed or wasn't run", () => {
    expect(page).not.toMatch(/FAILED|NOT RUN|\| ✗/);
    expect(page).toMatch(/Node \d+\.\d+.*SQLite \d+\.\d+/);
  });

  function cellsOf(text: string, row: RegExp): readonly string[] {
    return (row.exec(text)?.[1] ?? "").split("|").map((cell) => cell.trim());
  }
});
