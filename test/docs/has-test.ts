import { existsSync, readFileSync } from "node:fs";
import ts from "typescript";

/** What a citation may name in a file. */
interface Names {
  /**
   * Of tests and suites that run: first arguments of `test`, `it`, `describe` and what is made of them
   * (`test.each(…)`).
   */
  readonly titles: ReadonlySet<string>;
  /** Of the rows of tables that a test runs through: `name: "…"`, or the first text of a row. */
  readonly cases: ReadonlySet<string>;
  /** Whether a test here is made for each row of a table, or takes its title from one. */
  readonly runsTables: boolean;
}

const runners: ReadonlySet<string> = new Set(["test", "it", "describe"]);
/** What keeps a test from running, or lets it pass though it fails. */
const notRun: ReadonlySet<string> = new Set(["skip", "todo", "fails"]);
const tabular: ReadonlySet<string> = new Set(["each", "for"]);
const known = new Map<string, Names>();

/** Whether a file has a test, a suite or a case of a table by exactly that name, and not only a text. */
export function hasTest(file: string, name: string): boolean {
  if (!existsSync(file)) return false;
  const { titles, cases, runsTables } = namesIn(file);
  if (titles.has(name)) return true;
  return cases.has(name) && (runsTables || hasRunner(file));
}

/**
 * A table in a file of its own is run by the test of the same name beside it, the cases of the storage suite by what
 * registers them.
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
    // The storage suite as a whole, under the name of the storage that it proves.
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
      // A function that makes a row takes its name first.
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

/** The members that make a runner, such as `each` of `test.each(…)`; undefined for what is none. */
function runnerOf(node: ts.Expression): readonly string[] | undefined {
  if (ts.isIdentifier(node)) return runners.has(node.text) ? [] : undefined;
  if (ts.isCallExpression(node)) return runnerOf(node.expression);
  if (!ts.isPropertyAccessExpression(node)) return undefined;
  const before = runnerOf(node.expression);
  return before && [...before, node.name.text];
}
