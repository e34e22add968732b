import { globSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The test files that register a storage with the suite, from the root of the repository. */
export function registeringFiles(root: string): readonly string[] {
  return globSync("test/storage/**/*.test.ts", { cwd: root }).filter((file) =>
    /^registerStorageConformance\(/m.test(readFileSync(join(root, file), "utf8")),
  );
}

/** A storage that can be made, by the function that makes it and the file that exports that. */
export interface StorageFactory {
  readonly name: string;
  /** From the root of the repository, such as "src/storage/memory/storage.ts". */
  readonly file: string;
}

/** What there is, and what the suite is asked of. */
export interface StorageInventory {
  /** Folders of `src/storage/` that hold an engine. */
  readonly engines: readonly string[];
  /** What the package exports to make a storage. */
  readonly factories: readonly StorageFactory[];
  /** What is in `examples/storages/`: folders and files. */
  readonly examples: readonly string[];
  /** What examples export to make a storage. */
  readonly exampleFactories: readonly StorageFactory[];
  /** By name of a registration with the suite: the factories whose storages it opened. */
  readonly opened: Readonly<Record<string, readonly string[]>>;
}

/**
 * Storages that are not under the suite: an engine that the package does not export, an example that exports
 * nothing that makes a storage, a factory whose storages no registration opens, and a registration that opens none of
 * theirs.
 */
export function findEscapes({
  engines,
  factories,
  examples,
  exampleFactories,
  opened,
}: StorageInventory): readonly string[] {
  const proven = new Set(Object.values(opened).flat());
  const isIn = (folder: string, { file }: StorageFactory) => file === folder || file.startsWith(`${folder}/`);
  return [
    ...engines
      .filter((folder) => !factories.some((factory) => isIn(folder, factory)))
      .map((folder) => `${folder} has no factory that package.json exports as create…Storage`),
    ...examples
      .filter((place) => !exampleFactories.some((factory) => isIn(place, factory)))
      .map((place) => `${place} exports nothing that is called create…Storage`),
    ...[...factories, ...exampleFactories]
      .filter(({ name }) => !proven.has(name))
      .map(({ name, file }) => `${name} of ${file} is under no registration with the suite`),
    ...Object.entries(opened)
      .filter(([, names]) => names.length === 0)
      .map(([name]) => `The registration "${name}" opens no storage of a known factory`),
  ];
}
