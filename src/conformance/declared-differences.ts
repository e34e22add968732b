import type { ConformanceCase } from "./conformance-case.ts";

/**
 * The cases with what is declared about them: one that is listed passes by failing, so that the list can't hold what
 * isn't so any more. Throws for a name that no case has, and for a reason that says nothing.
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

/** How a case is named where its group isn't known from the context. */
export function caseName({ group, name }: Pick<ConformanceCase, "group" | "name">): string {
  return `${group}: ${name}`;
}

async function mustFail(one: ConformanceCase, reason: string): Promise<void> {
  const [outcome] = await Promise.allSettled([one.run()]);
  if (outcome.status === "fulfilled") {
    throw new Error(`"${caseName(one)}" passes, though it is declared a difference (${reason}): take it off the list`);
  }
}
