import { describe, expect, test } from "vitest";
import { type ConformanceOptions, caseName, storageConformance } from "../../src/conformance/index.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { StorageOptions } from "../../src/storage/storage.ts";
import { withMethods } from "./mutant-storage.ts";

const broken = "commands: a command comes with its bytes";
const sound = "commands: the same id again is the same command";

/** A memory storage that keeps no bytes of requests. */
async function open(options?: StorageOptions) {
  const real = createMemoryStorage(options);
  return withMethods(real, { sendCommand: (key, { id }) => real.sendCommand(key, { id, bytes: new Uint8Array() }) });
}

function run(name: string, options?: ConformanceOptions): Promise<void> {
  const found = storageConformance(open, options).find((one) => caseName(one) === name);
  return found === undefined ? Promise.reject(new Error(`There is no case "${name}"`)) : found.run();
}

describe("a declared difference", () => {
  test("makes a case pass that fails, and shows its reason", async () => {
    const differences = { [broken]: "It keeps no bytes" };
    await expect(run(broken)).rejects.toThrow();
    await expect(run(broken, { differences })).resolves.toBeUndefined();
    const declared = storageConformance(open, { differences }).filter(({ difference }) => difference !== undefined);
    expect(declared.map((one) => [caseName(one), one.difference])).toEqual([[broken, "It keeps no bytes"]]);
  });

  test("that passes is an error, which names it", async () => {
    await expect(run(sound, { differences: { [sound]: "It once didn't" } })).rejects.toThrow(
      `"${sound}" passes, though it is declared a difference`,
    );
  });

  test("of a whole group stands for each of its cases", async () => {
    const differences = { "durability: *": "It is in memory" };
    const durability = storageConformance(open, { differences }).filter(({ group }) => group === "durability");
    expect(durability.map(({ difference }) => difference)).toEqual(Array(durability.length).fill("It is in memory"));
    await Promise.all(durability.map((one) => one.run()));
    await expect(run(sound, { differences: { "commands: *": "Some fail" } })).rejects.toThrow("passes, though");
  });

  test.each([
    "commands: no such case",
    "no such group: *",
    "commands",
    "*",
  ])("that no case is called like is refused at once: %s", (name) => {
    expect(() => storageConformance(open, { differences: { [name]: "Why" } })).toThrow(
      `No case of the suite is called "${name}"`,
    );
  });

  test("without a reason is refused at once", () => {
    expect(() => storageConformance(open, { differences: { [broken]: " " } })).toThrow("without a reason");
  });
});

test.each([
  "durability",
  "faults",
])("what needs a hook is asked of a storage without one, too, and fails unless it is declared: %s", async (group) => {
  const cases = storageConformance(open).filter((one) => one.group === group);
  expect(cases.length).toBeGreaterThan(3);
  for (const one of cases) {
    await expect(one.run(), one.name).rejects.toThrow("This case needs the option");
  }
});

test("no two cases are called the same", () => {
  const names = storageConformance(open).map(caseName);
  expect(new Set(names).size).toBe(names.length);
});
