import { type JsonValue, toJson } from "@bufbuild/protobuf";
import { createServiceImplSpec } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { TaskError } from "../../../src/domain/task-error.ts";
import { violationsMax } from "../../../src/domain/validation/validate.ts";
import { bindRequest } from "../../../src/transport/http-json/bind-request.ts";
import { findPath, routesOf } from "../../../src/transport/http-json/routes.ts";
import { EverythingSchema, TestService } from "../test-protos.ts";

const routes = routesOf([createServiceImplSpec(TestService, {})]);

function bound(verb: string, target: string, body?: JsonValue): JsonValue {
  const [path = "", query = ""] = target.split("?");
  const hit = findPath(routes, path)?.route(verb);
  if (hit === undefined) throw new Error(`Nothing serves ${path}`);
  return toJson(EverythingSchema, bindRequest(hit.route, body, hit.variables, new URLSearchParams(query)));
}

function faults(verb: string, target: string, body?: JsonValue): readonly (readonly [string, string])[] {
  try {
    bound(verb, target, body);
  } catch (error) {
    if (error instanceof TaskError && error.reason === "INVALID_REQUEST")
      return error.violations.map(({ field, description }) => [field, description]);
    throw error;
  }
  throw new Error("Nothing was refused");
}

describe("a query", () => {
  test.each<[string, JsonValue]>([
    ["name=a%20b+c%2Bd", { name: "a b c+d" }],
    ["count=-5&bigCount=18446744073709551615", { count: -5, bigCount: "18446744073709551615" }],
    ["isOpen=true&ratio=1.5", { isOpen: true, ratio: 1.5 }],
    ["isOpen=false&boxedBool=false", { boxedBool: false }],
    ["boxedText=", { boxedText: "" }],
    ["rawBytes=AQI", { rawBytes: "AQI=" }],
    ["colour=COLOUR_RED", { colour: "COLOUR_RED" }],
    ["tags=a&tags=b,c", { tags: ["a", "b", "c"] }],
    ["numbers=1,2&numbers=3", { numbers: [1, 2, 3] }],
    ["colours=COLOUR_RED,COLOUR_BLUE", { colours: ["COLOUR_RED", "COLOUR_BLUE"] }],
    [
      "atTime=2026-01-02T03:04:05Z&lasting=1.5s&mask=a,bC",
      { atTime: "2026-01-02T03:04:05Z", lasting: "1.500s", mask: "a,bC" },
    ],
    ["inner.name=x&inner.inner.isOpen=true", { inner: { name: "x", inner: { isOpen: true } } }],
    ["is_open=true&raw_bytes=AQI&inner.big_count=1", { isOpen: true, rawBytes: "AQI=", inner: { bigCount: "1" } }],
    ["maybe=0", { maybe: 0 }],
    ["choiceNumber=0", { choiceNumber: 0 }],
    ["unknown=1&inner.unknown=2&A2A-Version=1.0", {}],
    ["", {}],
  ])("is read, every kind of field in its form (R173): %s", (query, expected) => {
    expect(bound("GET", `/watch?${query}`)).toEqual(expected);
  });

  test.each([
    ["count=x", "count"],
    ["count=", "count"],
    ["count=1.5", "count"],
    ["count=3000000000", "count"],
    ["isOpen=1", "is_open"],
    ["colour=RED", "colour"],
    ["colours=COLOUR_RED,GREEN", "colours"],
    ["atTime=today", "at_time"],
    ["count=1&count=2", "count"],
    ["numbers=1,,2", "numbers"],
    ["inner=%7B%7D", "inner"],
    ["inners=x", "inners"],
    ["free.a=1&free=x", "free"],
    ["byColour=x", "by_colour"],
    ["inner.count=x", "inner.count"],
  ])("refused: %s", (query, field) => {
    expect(faults("GET", `/watch?${query}`).map(([name]) => name)).toEqual([field]);
  });

  test("of many faults so many are named, and no more", () => {
    const query = Array.from({ length: 2 * violationsMax }, (_, depth) => `${"inner.".repeat(depth)}count=x`).join("&");
    expect(faults("GET", `/watch?${query}`)).toHaveLength(violationsMax);
  });

  test("all faults are named at once", () => {
    expect(faults("GET", "/watch?count=x&isOpen=y").map(([name]) => name)).toEqual(["count", "is_open"]);
  });
});

describe("path, body and query", () => {
  test("the whole body", () => {
    expect(bound("POST", "/things/n", { count: 1, inner: { name: "i" } })).toEqual({
      name: "n",
      count: 1,
      inner: { name: "i" },
    });
    expect(bound("POST", "/things/n")).toEqual({ name: "n" });
  });

  test("one field of the body", () => {
    expect(bound("PUT", "/things/n/inner?count=3", { name: "i" })).toEqual({
      name: "n",
      count: 3,
      inner: { name: "i" },
    });
    expect(bound("PUT", "/things/n/inner")).toEqual({ name: "n" });
  });

  test("no body where the rule has none", () => {
    expect(bound("GET", "/watch", { name: "ignored" })).toEqual({});
  });

  test("a path whose variable is no text, or in a message", () => {
    expect(bound("GET", "/counts/12")).toEqual({ bigCount: "12" });
    expect(faults("GET", "/counts/x").map(([name]) => name)).toEqual(["big_count"]);
    expect(bound("GET", "/files/a/b")).toEqual({ inner: { name: "a/b" } });
  });

  test("what is said twice must be the same", () => {
    expect(bound("POST", "/things/n?count=1&tags=a,b", { name: "n", count: 1, tags: ["a", "b"] })).toEqual({
      name: "n",
      count: 1,
      tags: ["a", "b"],
    });
    expect(faults("POST", "/things/n", { name: "m" })).toEqual([
      ["name", "differs between the path and the rest of the request"],
    ]);
    expect(faults("GET", "/things/n:watch?name=m")).toEqual([
      ["name", "differs between the query and the rest of the request"],
    ]);
    expect(faults("POST", "/things/n?tags=a", { tags: ["b"], maybe: 1 })).toEqual([
      ["tags", "differs between the query and the rest of the request"],
    ]);
    expect(faults("POST", "/things/n?maybe=0", { maybe: 1 }).map(([name]) => name)).toEqual(["maybe"]);
  });
});
