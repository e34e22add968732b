import { expect, it } from "vitest";
import { settings } from "../../src/cli/config.ts";
import { grouped } from "../../src/cli/help-groups.ts";

it("the help shows every setting once, in a group of its own kind", () => {
  expect(grouped.map(({ setting }) => setting).toSorted()).toEqual(settings.toSorted());
  expect(grouped.filter(({ group }) => group === "Others:")).toEqual([]);
});
