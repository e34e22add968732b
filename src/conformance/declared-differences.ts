import type { ConformanceCase } from "./conformance-case.ts";

/**
 * Applies the declared differences to the cases. A declared case passes only if it fails, so the list can't be out of
 * date. Throws for a name that no case has, and for an empty reason.
 */
export function declareDifferences(
  cases: readonly ConformanceCase[],
  differences: Readonly<Record<string, string>>,
): readonly ConformanceCase[] {
  const declared = new Map<ConformanceCase, string>();
  for (const [name, reason] of Object.entries(differences)) {
    const meant = cases.filter((one) => name === caseName(one) || name === `${one.group}: *`);
    if (meant.length === 0) {
      throw new Error(`No case of the suite is called "${name}", so it can't be declared a difference`);
    }
    if (reason.trim() === "") {
      throw new Error(`The difference "${name}" is declared without a reason`);
    }
    for (const one of meant) {
      declared.set(one, reason);
    }
  }
  return cases.map((one) => {
    const difference = declared.get(one);
    return difference === undefined ? one : { ...one, difference, run: () => mustFail(one, difference) };
  });
}

/** The name of a case with its group. */
export function caseName({ group, name }: Pick<ConformanceCase, "group" | "name">): string {
  return `${group}: ${name}`;
}

async function mustFail(one: ConformanceCase, reason: string): Promise<void> {
  const [outcome] = await Promise.allSettled([one.run()]);
  if (outcome.status === "fulfilled") {
    throw new Error(`"${caseName(one)}" passes, though it is declared a difference (${reason}): take it off the list`);
  }
}
