import { type DescField, type DescMessage, getOption, hasOption } from "@bufbuild/protobuf";
import type { MethodImplSpec } from "@connectrpc/connect";
import { http as httpOption } from "../../../gen/google/api/annotations_pb.ts";
import type { HttpRule } from "../../../gen/google/api/http_pb.ts";
import type { ServedService } from "../services/services.ts";
import { compareTemplates, matchTemplate, type PathTemplate, parseTemplate, segmentsOf } from "./path-template.ts";

/** One way to call a method over HTTP+JSON. */
export interface Route {
  readonly verb: string;
  readonly template: PathTemplate;
  /** The content of the body: the whole request, one field of it, or nothing. */
  readonly body: "whole" | "none" | DescField;
  readonly call: MethodImplSpec;
  /** Whether no rule has it: POST for a stream that the rules serve by GET. */
  readonly isAdded: boolean;
}

/** A served path. */
export interface FoundPath {
  readonly verbs: readonly string[];
  /** The route of a verb and the variables of the path. Throws URIError for a percent sign that encodes nothing. */
  route(verb: string): { readonly route: Route; readonly variables: ReadonlyMap<string, string> } | undefined;
}

/**
 * All routes of the services, from the `google.api.http` rules of their descriptors with the additional bindings, the best
 * match first. A stream that the rules serve by GET is served by POST too, with or without a body, since the text of the
 * specification says POST. Throws an Error for rules that contradict the descriptors.
 */
export function routesOf(services: readonly ServedService[]): readonly Route[] {
  const calls = services.flatMap(({ methods }) => Object.values(methods));
  return calls.flatMap(routesOfMethod).toSorted((a, b) => compareTemplates(a.template, b.template));
}

function routesOfMethod(call: MethodImplSpec): readonly Route[] {
  const { method } = call;
  if (!hasOption(method, httpOption)) return [];
  if (call.kind !== "unary" && call.kind !== "server_streaming")
    throw new Error(`${method} streams requests, which HTTP+JSON can't`);
  const rule = getOption(method, httpOption);
  return [rule, ...rule.additionalBindings].flatMap((binding) => {
    const route = ruleRoute(call, binding);
    return route.verb === "GET" && call.kind === "server_streaming"
      ? [route, { ...route, verb: "POST", body: "whole" as const, isAdded: true }]
      : [route];
  });
}

function ruleRoute(call: MethodImplSpec, { pattern, body }: HttpRule): Route {
  const { input } = call.method;
  if (pattern.case === undefined) throw new Error(`A rule of ${call.method} has no path`);
  const [verb, path] =
    pattern.case === "custom" ? [pattern.value.kind, pattern.value.path] : [pattern.case.toUpperCase(), pattern.value];
  const template = parseTemplate(path);
  for (const { fieldPath } of template.variables) {
    if (fieldsAt(input, fieldPath)?.at(-1)?.fieldKind !== "scalar")
      throw new Error(`"${fieldPath}" of "${path}" is no scalar field of ${input}`);
  }
  const bodyField = input.fields.find(({ name }) => name === body);
  if (body !== "" && body !== "*" && bodyField === undefined)
    throw new Error(`The body "${body}" of "${path}" is no field of ${input}`);
  return { verb, template, body: bodyField ?? (body === "*" ? "whole" : "none"), call, isAdded: false };
}

/** The fields on a path of proto or JSON names with dots between. Undefined if there is no such field. */
export function fieldsAt(input: DescMessage, fieldPath: string): readonly DescField[] | undefined {
  const fields: DescField[] = [];
  let at: DescMessage | undefined = input;
  for (const name of fieldPath.split(".")) {
    const field: DescField | undefined = at?.fields.find((each) => each.name === name || each.jsonName === name);
    if (field === undefined) return undefined;
    fields.push(field);
    at = field.fieldKind === "message" ? field.message : undefined;
  }
  return fields;
}

/** Finds the routes of a path. Undefined if it has none. */
export function findPath(routes: readonly Route[], path: string): FoundPath | undefined {
  const segments = segmentsOf(path);
  const fitting = routes.filter(({ template }) => fits(template, segments));
  if (fitting.length === 0) return undefined;
  // An unencoded `:cancel` is the verb, never the end of an id, for every HTTP method.
  const wanted = fitting[0]?.template.verb === "" ? fitting : fitting.filter(({ template }) => template.verb !== "");
  return {
    verbs: [...new Set(wanted.map(({ verb }) => verb))],
    route(verb) {
      const route = wanted.find((each) => each.verb === verb);
      const variables = route && matchTemplate(route.template, segments);
      return route && variables && { route, variables };
    },
  };
}

function fits(template: PathTemplate, segments: readonly string[]): boolean {
  try {
    return matchTemplate(template, segments) !== undefined;
  } catch {
    // The path matches, and the request is at fault: a variable can't be decoded.
    return true;
  }
}
