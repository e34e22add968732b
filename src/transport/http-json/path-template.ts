/** A path of a `google.api.http` rule: `/tasks/{id=*}:cancel`, `/{tenant}/tasks`, `/files/{name=shelves/*\/**}`. */
export interface PathTemplate {
  readonly text: string;
  /** The pattern of each segment of a path. `**` is possible as the last one. */
  readonly segments: readonly Pattern[];
  /** After the colon of the last segment; empty without one. */
  readonly verb: string;
  readonly variables: readonly Variable[];
}

/** A literal, any one segment, or any number of them. */
type Pattern = string | typeof one | typeof many;
const one = Symbol("*");
const many = Symbol("**");

interface Variable {
  /** The path to the field, in proto names. */
  readonly fieldPath: string;
  /** Its segments, `to` excluded. With `**` they go on to the end of the path. */
  readonly from: number;
  readonly to: number;
  readonly isMany: boolean;
}

/** Parses a template. Throws an Error for a fault in a proto, which is found at the start. */
export function parseTemplate(text: string): PathTemplate {
  const segments: Pattern[] = [];
  const variables: Variable[] = [];
  // A variable with slashes in its pattern is one piece.
  const [, path = "", verb = ""] = /^\/((?:[^{}:]|\{[^{}]*\})*)(?::([^{}/:]+))?$/.exec(text) ?? [];
  const pieces = path.match(/(?:[^/{}]|\{[^{}]*\})+/g) ?? [];
  if (pieces.length === 0 || pieces.join("/") !== path) throw new Error(`"${text}" is not a path template`);
  for (const piece of pieces) {
    const variable = /^\{([\w.]+)(?:=([^{}]+))?\}$/.exec(piece);
    if (variable === null && /[{}]/.test(piece))
      throw new Error(`"${piece}" of "${text}" is not a segment of a path template`);
    const from = segments.length;
    const patterns = variable === null ? [piece] : (variable[2] ?? "*").split("/");
    segments.push(...patterns.map((pattern) => (pattern === "*" ? one : pattern === "**" ? many : pattern)));
    if (variable?.[1] !== undefined)
      variables.push({ fieldPath: variable[1], from, to: segments.length, isMany: patterns.includes("**") });
  }
  if (segments.slice(0, -1).includes(many)) throw new Error(`"**" is not at the end of "${text}"`);
  return { text, segments, verb, variables };
}

/** The segments of a path as it was sent. They are decoded later, so an encoded `/` or `:` in an id separates nothing. */
export function segmentsOf(path: string): readonly string[] {
  return path.slice(1).split("/");
}

/**
 * The decoded variables of a template in a path, or undefined if the path doesn't match. A variable may be empty: the
 * check of the request reports a missing id. Throws URIError for a percent sign that encodes nothing.
 */
export function matchTemplate(
  { segments, verb, variables }: PathTemplate,
  path: readonly string[],
): ReadonlyMap<string, string> | undefined {
  let parts = path;
  if (verb !== "") {
    const last = path.at(-1) ?? "";
    if (!last.endsWith(`:${verb}`)) return undefined;
    parts = path.with(-1, last.slice(0, -verb.length - 1));
  }
  const isMany = segments.at(-1) === many;
  if (isMany ? parts.length < segments.length - 1 : parts.length !== segments.length) return undefined;
  if (!segments.every((pattern, index) => typeof pattern === "symbol" || pattern === parts[index])) return undefined;
  return new Map(variables.map((variable) => [variable.fieldPath, variableValue(variable, parts)]));
}

/** In a value of several segments an encoded slash stays encoded: it doesn't separate. */
function variableValue({ from, to, isMany }: Variable, parts: readonly string[]): string {
  if (!isMany && to === from + 1) return decodeURIComponent(parts[from] ?? "");
  const taken = parts.slice(from, isMany ? undefined : to);
  return taken.map((part) => part.split(/%2f/i).map(decodeURIComponent).join("%2F")).join("/");
}

/**
 * The order of two templates that match the same path: negative if `a` is first. A template with a verb is first, then
 * the one that has a literal, from the left, where the other has a variable. So a tenant named `tasks` doesn't hide
 * `/tasks/{id}`.
 */
export function compareTemplates(a: PathTemplate, b: PathTemplate): number {
  if ((a.verb === "") !== (b.verb === "")) return a.verb === "" ? 1 : -1;
  for (let index = 0; index < Math.min(a.segments.length, b.segments.length); index++) {
    const difference = rankOf(a.segments[index]) - rankOf(b.segments[index]);
    if (difference !== 0) return difference;
  }
  return b.segments.length - a.segments.length;
}

function rankOf(pattern: Pattern | undefined): number {
  return pattern === one ? 1 : pattern === many ? 2 : 0;
}
