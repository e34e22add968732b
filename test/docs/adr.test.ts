import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, it } from "vitest";

const folder = join(import.meta.dirname, "../../docs/adr");
const files = readdirSync(folder).sort();

it("decisions are numbered without a gap, and none twice", () => {
  expect(files.map((file) => Number(/^(\d{4})-[a-z0-9-]+\.md$/.exec(file)?.[1]))).toEqual(
    files.map((_, index) => index + 1),
  );
});

it.each(files)("%s is headed by its number", (file) => {
  expect(readFileSync(join(folder, file), "utf8")).toMatch(new RegExp(`^# ${Number(file.slice(0, 4))}\\. \\S`));
});
