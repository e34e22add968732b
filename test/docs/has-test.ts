import { existsSync, readFileSync } from "node:fs";
import ts from "typescript";

/** The names in a file that a citation may use. */
interface Names {
  /**
   * The titles of tests and suites that run: the first arguments of `test`, `it`, `describe` and their variants, such
   * as `test.each(…)`.
   */
  readonly titles: ReadonlySet<string>;
  /** The names of the rows of tables of cases: `name: "…"`, or the first string of a row. */
  readonly cases: ReadonlySet<string>;
  /** True if a test here runs once for each row of a table, or takes its title from a table. */
  readonly runsTables: boolean;
}

const runners: ReadonlySet<string> = new Set(["test", "it", "describe"]);
/** The variants that do not run a test, or let it pass although it fails. */
const notRun: ReadonlySet<string> = new Set(["skip", "todo", "fails"]);
const tabular: ReadonlySet<string> = new Set(["each", "for"]);
const known = new Map<string, Names>();

/** Tells whether a file has a test, a suite or a case of a table with exactly that name. Other strings do not count. */
export function hasTest(file: string, name: string): boolean {
  if (!existsSync(file)) return false;
  const { titles, cases, runsTables } = namesIn(file);
  if (titles.has(name)) return true;
  return cases.has(name) && (runsTables || hasRunner(file));
}

/**
 * Tells whether another file runs the tables of a file: the test beside it with the same name, or the file that
 * registers the storage suite.
 */
function hasRunner(file: string): boolean {
  const runner = file.startsWith("src/conformance/")
    ? "test/conformance/register.ts"
    : file.replace(/\.ts$/, ".test.ts");
  return runner !== file && existsSync(runner) && namesIn(runner).runsTables;
}

function namesIn(file: string): Names {
  const before = known.get(file);
  if (before !== undefined) return before;
  const names = readNames(ts.createSourceFile(file, readFileSync(file, "utf8"), ts.ScriptTarget.Latest));
  known.set(file, names);
  return names;
}

function readNames(source: ts.SourceFile): Names {
  const titles = new Set<string>();
  const cases = new Set<string>();
  let runsTables = false;
  const visit = (node: ts.Node): void => {
    if (ts.isCallExpression(node)) {
      const runner = runnerOf(node.expression);
      const title = textOf(node.arguments[0]);
      if (runner !== undefined && !runner.some((member) => notRun.has(member))) {
        if (title !== undefined) titles.add(title);
        if (title === undefined || runner.some((member) => tabular.has(member))) runsTables = true;
      }
    }
    // The whole storage suite, under the name of the storage.
    if (
      ts.isCallExpression(node) &&
      ts.isIdentifier(node.expression) &&
      node.expression.text === "registerStorageConformance"
    )
      runsTables = true;
    if (ts.isPropertyAssignment(node) && ts.isIdentifier(node.name) && node.name.text === "name")
      addText(cases, node.initializer);
    if (ts.isArrayLiteralExpression(node)) {
      addText(cases, node.elements[0]);
      // A function that makes a row takes the name as its first argument.
      for (const element of node.elements) if (ts.isCallExpression(element)) addText(cases, element.arguments[0]);
    }
    ts.forEachChild(node, visit);
  };
  visit(source);
  return { titles, cases, runsTables };
}

function addText(texts: Set<string>, node: ts.Node | undefined): void {
  const text = textOf(node);
  if (text !== undefined) texts.add(text);
}

function textOf(node: ts.Node | undefined): string | undefined {
  return node !== undefined && ts.isStringLiteralLike(node) ? node.text : undefined;
}

/** The members of a runner, such as `each` of `test.each(…)`. Undefined if the expression is not a runner. */
function runnerOf(node: ts.Expression): readonly string[] | undefined {
  if (ts.isIdentifier(node)) return runners.has(node.text) ? [] : undefined;
  if (ts.isCallExpression(node)) return runnerOf(node.expression);
  if (!ts.isPropertyAccessExpression(node)) return undefined;
  const before = runnerOf(node.expression);
  return before && [...before, node.name.text];
}
