import { existsSync, readdirSync, readFileSync } from "node:fs";
import { basename, join } from "node:path";
import { expect, test } from "vitest";

// What a linter can't hold: the rules of CONTRIBUTING.md on lines, files, folders, references and words. Each test
// names the places that break its rule.

const columnsMax = 120;
const linesMax = 500;
const folderFilesMax = 14;
/** A test's title, or a text that a test expects, stays in one piece: citations and searches must find it. */
const longTextMin = 60;

/** Each is hard to read, or says nothing that a plainer word wouldn't. */
const avoidedWords: readonly RegExp[] = [
  /\bwhoever\b/i,
  /\bnobody who\b/i,
  /\bas good as absent\b/i,
  /\bstood still\b/i,
  /\bwho asks\b/i,
  /\bby and by\b/i,
  /\bsigns? of life\b/i,
  /(?<!")\b(?:his|him|he)\b/,
];

/** Documents that aren't part of the repository. */
const outsideReferences: readonly RegExp[] = [/\bDESIGN\b/, /\btraps? \d/i, /\bapi\.d\.ts\b/, /\brecipes\.md\b/];

interface Line {
  readonly place: string;
  readonly text: string;
}

const thisFile = "test/docs/style.test.ts";
const code = ["src", "test", "bench", "scripts", "examples", "types"].flatMap((folder) => filesIn(folder, ".ts"));
const rootPages = readdirSync(".").filter((file) => file.endsWith(".md"));
const pages = [...rootPages, ...["docs", "examples", "bench"].flatMap((folder) => filesIn(folder, ".md"))];
const protos = filesIn("proto", ".proto");
const sources = filesIn("src", ".ts");
const sourceFolders = [...new Set(sources.map((file) => file.slice(0, file.lastIndexOf("/"))))];
const architecture = readFileSync("ARCHITECTURE.md", "utf8");

test("no line of code has more columns than fit a screen", () => {
  expect(placesOf(linesIn(code).filter((line) => line.text.length > columnsMax && !isLongText(line)))).toEqual([]);
});

test("no line of prose has more columns than fit a screen", () => {
  // The figures are written by the bench.
  const written = pages.filter((page) => page !== "bench/RESULTS.md");
  expect(placesOf(written.flatMap(proseLines).filter(({ text }) => text.length > columnsMax))).toEqual([]);
});

test("no file refers to documents outside the repository", () => {
  expect(placesOf(linesWith(outsideReferences))).toEqual([]);
});

test("no text uses words that make it hard to read", () => {
  expect(placesOf(linesWith(avoidedWords))).toEqual([]);
});

test("no file is too long to be read as a whole", () => {
  expect(code.filter((file) => linesIn([file]).length > linesMax)).toEqual([]);
});

test("no folder of the source has more files than can be taken in at once", () => {
  const countOf = (folder: string) => readdirSync(folder).filter((file) => file.endsWith(".ts")).length;
  expect(sourceFolders.filter((folder) => countOf(folder) > folderFilesMax)).toEqual([]);
});

test("every folder of the source has a row in ARCHITECTURE.md, and every row a folder", () => {
  const rows = architecture.slice(architecture.indexOf("## Folders"), architecture.indexOf("## Life of a message"));
  const named = [...rows.matchAll(/^\| `([^`]+)` \|/gm)].map(([, folder = ""]) => join("src", folder));
  // `src` itself holds the index alone.
  expect(named.toSorted()).toEqual(sourceFolders.filter((folder) => folder !== "src").toSorted());
});

test("every file that ARCHITECTURE.md names exists", () => {
  const named = [...architecture.matchAll(/`([\w./-]+\.ts)`/g)].map(([, file = ""]) => file);
  const names = new Set(sources.map((file) => basename(file)));
  expect(named.length).toBeGreaterThan(20);
  const exists = (file: string) => existsSync(join("src", file)) || existsSync(file) || names.has(file);
  expect(named.filter((file) => !exists(file))).toEqual([]);
});

test("arguments, environment and signals are read by the command alone", () => {
  const reads = /\bprocess\.(?:argv|env|exit|exitCode|on|once|off|stdout|stderr|stdin|cwd)\b/;
  const others = sources.filter((file) => file !== "src/cli/main.ts");
  expect(placesOf(linesIn(others).filter(({ text }) => reads.test(text)))).toEqual([]);
});

function filesIn(folder: string, extension: string): readonly string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .filter((file) => file.endsWith(extension))
    .map((file) => join(folder, file));
}

function linesIn(files: readonly string[]): readonly Line[] {
  return files.flatMap((file) =>
    readFileSync(file, "utf8")
      .replace(/\n$/, "")
      .split("\n")
      .map((text, index) => ({ place: `${file}:${index + 1}`, text })),
  );
}

/** The lines of a page that can be wrapped: none of code, tables and links. */
function proseLines(page: string): readonly Line[] {
  let inCode = false;
  return linesIn([page]).filter(({ text }) => {
    if (text.startsWith("```")) {
      inCode = !inCode;
      return false;
    }
    return !inCode && !text.startsWith("|") && !text.includes("](");
  });
}

function linesWith(patterns: readonly RegExp[]): readonly Line[] {
  const read = [...code, ...pages, ...protos].filter((file) => file !== thisFile);
  return linesIn(read).filter(({ text }) => patterns.some((pattern) => pattern.test(text)));
}

function isLongText({ place, text }: Line): boolean {
  if (!/^(?:test|bench|src\/conformance)\//.test(place) || /^\s*(?:\*|\/[/*])/.test(text)) return false;
  const literals = /"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|`(?:[^`\\]|\\.)*`|\/(?:[^/\\]|\\.)+\//g;
  return [...text.matchAll(literals)].some(([literal]) => literal.length >= longTextMin);
}

function placesOf(lines: readonly Line[]): readonly string[] {
  return lines.map(({ place, text }) => `${place}: ${text.trim().slice(0, columnsMax)}`);
}
