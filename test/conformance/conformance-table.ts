/** What the suite found: one outcome per case and storage, and what each storage ran on. */
export interface ConformanceResults {
  /** By storage, in the order of the columns. */
  readonly engines: Readonly<Record<string, string>>;
  readonly outcomes: readonly CaseOutcome[];
}

export interface CaseOutcome {
  readonly storage: string;
  readonly group: string;
  readonly name: string;
  readonly state: "passed" | "failed" | "skipped" | "pending";
  /** The reason for which it is declared to differ: then "passed" says that it does. */
  readonly difference?: string;
}

/** The storages side by side, a row per group: how many cases passed, failed, or differ as declared. */
export function summaryOf({ engines, outcomes }: ConformanceResults): string {
  const storages = Object.keys(engines);
  const groups = [...new Set(outcomes.map(({ group }) => group))];
  const row = (title: string, meant: readonly CaseOutcome[]) => [
    title,
    ...storages.map((storage) => countsOf(meant.filter((one) => one.storage === storage))),
  ];
  return tableOf(
    ["", ...storages],
    [
      ["runs on", ...Object.values(engines)],
      ...groups.map((group) =>
        row(
          group,
          outcomes.filter((one) => one.group === group),
        ),
      ),
      row("all", outcomes),
    ],
  );
}

/** The declared differences with their reasons; a group that differs as a whole is one row. */
export function differencesOf({ outcomes }: ConformanceResults): string {
  const rows: string[][] = [];
  for (const [, some] of Map.groupBy(outcomes, ({ storage, group, difference = "" }) =>
    JSON.stringify([storage, group, difference]),
  )) {
    const { storage, group, difference } = some[0] as CaseOutcome;
    if (difference !== undefined) {
      const all = outcomes.filter((one) => one.storage === storage && one.group === group);
      const cases =
        some.length === all.length ? [`${group}: all ${all.length}`] : some.map(({ name }) => `${group}: ${name}`);
      rows.push(...cases.map((name) => [storage, name, difference]));
    }
  }
  return tableOf(["storage", "case", "why it differs"], rows);
}

/** The page that is committed: the summary, the differences, and every case. */
export function conformancePage(results: ConformanceResults): string {
  const storages = Object.keys(results.engines);
  const sections = [...Map.groupBy(results.outcomes, ({ group }) => group)].map(([group, outcomes]) => {
    const rows = [...Map.groupBy(outcomes, ({ name }) => name)].map(([name, some]) => [
      name,
      ...storages.map((storage) => signOf(some.find((one) => one.storage === storage))),
    ]);
    return `### ${group}\n\n${tableOf(["", ...storages], rows)}`;
  });
  return `# What every storage promises

Written by \`node scripts/conformance-table.ts --write\`; do not edit. Every case of
\`a2a-task-manager/storage-conformance\` runs on every storage, and none is skipped. A case that a storage cannot pass
is declared with its reason and must fail: a declared case that passes is an error.

${summaryOf(results)}

## Declared differences

${differencesOf(results)}

## All cases

✓ passed, ≠ differs as declared, ✗ failed.

${sections.join("\n\n")}
`;
}

function countsOf(outcomes: readonly CaseOutcome[]): string {
  const differ = outcomes.filter(({ state, difference }) => state === "passed" && difference !== undefined).length;
  const passed = outcomes.filter(({ state }) => state === "passed").length - differ;
  const failed = outcomes.filter(({ state }) => state === "failed").length;
  const counts = { passed, differ, FAILED: failed, "NOT RUN": outcomes.length - passed - differ - failed };
  const parts = Object.entries(counts).filter(([, count]) => count > 0);
  return parts.map(([what, count]) => `${count} ${what}`).join(", ") || "none";
}

function signOf(outcome: CaseOutcome | undefined): string {
  return outcome?.state !== "passed" ? "✗" : outcome.difference === undefined ? "✓" : "≠";
}

/** A table of Markdown, padded so that it reads as text, too. */
function tableOf(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [head, ...rows].map((row) => row.map((cell) => cell.replaceAll("|", "\\|")));
  const widths = head.map((_, column) => Math.max(3, ...cells.map((row) => row[column]?.length ?? 0)));
  const lines = cells.map((row) => `| ${row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join(" | ")} |`);
  return [lines[0], `|${widths.map((width) => "-".repeat(width + 2)).join("|")}|`, ...lines.slice(1)].join("\n");
}
