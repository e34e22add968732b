import { create, type DescService } from "@bufbuild/protobuf";
import {
  type Client,
  createClient,
  createServiceImplSpec,
  type HandlerContext,
  type Transport,
} from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterEach, describe, expect, test } from "vitest";
import { TaskError } from "../../../src/domain/task-error.ts";
import { callerFrom } from "../../../src/transport/calls/call-context.ts";
import { type CallHooks, defaultHooks } from "../../../src/transport/calls/call-hooks.ts";
import { connectHandler } from "../../../src/transport/connect/connect-handler.ts";
import { connectRoutes } from "../../../src/transport/connect/connect-routes.ts";
import { grpcHandler } from "../../../src/transport/grpc/grpc-handler.ts";
import { httpJsonHandler } from "../../../src/transport/http-json/http-json-handler.ts";
import { jsonRpcHandler } from "../../../src/transport/json-rpc/json-rpc-handler.ts";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { testSettings } from "../call-settings.ts";
import { closeAll, echo, open } from "../listener/fixtures.ts";
import { EverythingSchema, TestService } from "../test-protos.ts";

/** What every binding does around a call: who calls, what is held, what is observed. */

afterEach(closeAll);

type Method = "whole" | "part" | "watch";

/** Calls a method and resolves to the number of messages, or rejects with the error's text. */
type Caller = (url: string, method: Method) => Promise<number>;

const bindings: readonly (readonly [name: string, call: Caller])[] = [
  ["gRPC", overConnect((baseUrl) => createGrpcTransport({ baseUrl }))],
  [
    "gRPC in JSON, which is Connect's",
    overConnect((baseUrl) => createGrpcTransport({ baseUrl, useBinaryFormat: false })),
  ],
  ["gRPC-Web", overConnect((baseUrl) => createGrpcWebTransport({ baseUrl, httpVersion: "1.1" }))],
  ["Connect", overConnect((baseUrl) => createConnectTransport({ baseUrl, httpVersion: "1.1" }))],
  ["HTTP+JSON", overHttp],
  ["JSON-RPC", overJsonRpc],
];

function overConnect(transport: (url: string) => Transport): Caller {
  return async (url, method) => {
    const client = createClient(TestService, transport(url)) as Client<DescService> as unknown as Record<
      Method,
      (request: object) => AsyncIterable<unknown> & Promise<unknown>
    >;
    const answer = client[method]({ name: "x" });
    if (method !== "watch") return answer.then(() => 1);
    let events = 0;
    for await (const _ of answer) events++;
    return events;
  };
}

async function overHttp(url: string, method: Method): Promise<number> {
  const [verb, path] = { whole: ["POST", "/things/x"], part: ["PUT", "/things/x/inner"], watch: ["GET", "/watch"] }[
    method
  ];
  const body = verb === "GET" ? {} : { body: "{}", headers: { "content-type": "application/json" } };
  return messagesIn(await fetch(url + path, { method: verb as string, ...body }));
}

async function overJsonRpc(url: string, method: Method): Promise<number> {
  const name = { whole: "Whole", part: "Part", watch: "Watch" }[method];
  return messagesIn(await post(url, { jsonrpc: "2.0", id: 1, method: `test.TestService/${name}` }));
}

function post(url: string, body: unknown): Promise<Response> {
  return fetch(url, { method: "POST", headers: { "content-type": "application/json" }, body: JSON.stringify(body) });
}

async function messagesIn(response: Response): Promise<number> {
  const text = await response.text();
  if (text.includes('"error"')) throw new Error(text);
  return text.startsWith("data:") ? text.split("\n\n").length - 1 : 1;
}

interface Seen {
  readonly hooks: CallHooks;
  /** The requests that were authenticated, each with whether its body was read by then. */
  readonly authenticated: boolean[];
  /** What the methods were called by, and how many calls were at work. */
  readonly callers: [owner: string, calls: number][];
  readonly begun: string[];
  readonly ended: [method: string, error: string | undefined][];
}

function seen(owner: string | Error): Seen {
  const authenticated: boolean[] = [];
  const begun: string[] = [];
  const ended: Seen["ended"] = [];
  const hooks: CallHooks = {
    ...defaultHooks(),
    async authenticate(request) {
      authenticated.push(request.readableDidRead);
      if (owner instanceof Error) throw owner;
      return { owner, claims: {} };
    },
    observe({ method }) {
      begun.push(method.localName);
      return (error) => ended.push([method.localName, error?.rawMessage]);
    },
  };
  return { hooks, authenticated, callers: [], begun, ended };
}

const held = ({ hooks: { load } }: Seen) => [load.bodyBytes, load.workingCalls, load.calls, load.unreadBytes];

async function serve({ hooks, callers }: Seen): Promise<string> {
  const note = (context: HandlerContext) => {
    callers.push([callerFrom({ tenant: "" }, context).owner, hooks.load.calls]);
  };
  const service = createServiceImplSpec(TestService, {
    whole(_: unknown, context: HandlerContext) {
      note(context);
      return create(EverythingSchema);
    },
    part(_: unknown, context: HandlerContext) {
      note(context);
      throw new TaskError("TASK_NOT_FOUND", "not here");
    },
    async *watch(_: unknown, context: HandlerContext) {
      note(context);
      yield create(EverythingSchema);
      yield create(EverythingSchema);
    },
  } as never);
  const settings = testSettings({ hooks, bindings: new Set(["grpc", "grpc-web", "connect"] as const) });
  const handlers = [
    grpcHandler([service], settings),
    connectHandler(connectRoutes([service], settings), settings),
    jsonRpcHandler([service], settings),
    httpJsonHandler([service], settings),
  ];
  const { number } = await open({ handler: firstOf(handlers, echo) });
  return `http://127.0.0.1:${number}`;
}

describe.each(bindings)("a call over %s", (_, call) => {
  test.each([
    ["whole", 1],
    ["watch", 2],
  ] as const)("knows who sends it before its body is read, and is observed to its end: %s", async (method, messages) => {
    const all = seen("ann");
    const url = await serve(all);
    expect(await call(url, method)).toBe(messages);
    await expect.poll(() => all.ended).toEqual([[method, undefined]]);
    expect([all.authenticated, all.callers, all.begun]).toEqual([[false], [["ann", 1]], [method]]);
    await expect.poll(() => held(all)).toEqual([0, 0, 0, 0]);
  });

  test("that fails is observed with its error", async () => {
    const all = seen("ann");
    const url = await serve(all);
    await expect(call(url, "part")).rejects.toThrow("not here");
    await expect.poll(() => all.ended).toEqual([["part", "not here"]]);
    expect([all.callers, all.begun, all.hooks.load.calls]).toEqual([[["ann", 1]], ["part"], 0]);
  });

  test("is rejected in the form of its binding if its sender is", async () => {
    const all = seen(new TaskError("UNSUPPORTED_OPERATION", "not for you"));
    const url = await serve(all);
    await expect(call(url, "whole")).rejects.toThrow("not for you");
    expect([all.authenticated, all.callers]).toEqual([[false], []]);
    await expect.poll(() => held(all)).toEqual([0, 0, 0, 0]);
  });
});

test("the calls of a batch have one sender, asked for once", async () => {
  const all = seen("ann");
  const url = await serve(all);
  const entry = (id: number, name: string) => ({ jsonrpc: "2.0", id, method: `test.TestService/${name}` });
  const response = await post(url, [entry(1, "Whole"), entry(2, "Part")]);
  expect(await response.json()).toMatchObject([
    { id: 1, result: {} },
    { id: 2, error: {} },
  ]);
  expect([all.authenticated, all.callers]).toEqual([
    [false],
    [
      ["ann", 1],
      ["ann", 1],
    ],
  ]);
  expect(all.ended).toEqual([
    ["whole", undefined],
    ["part", "not here"],
  ]);
});
