import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { below } from "../../../src/transport/embedding/below.ts";
import { fetchHandler } from "../../../src/transport/embedding/fetch-handler.ts";
import type { NodeRequest } from "../../../src/transport/listener/request-handler.ts";
import { eventually } from "../../runner/eventually.ts";

const url = "http://host/path?query";

/** Answers by a handler, and gives what it got. */
async function served(request: Request, answer: (response: ServerResponse, request: NodeRequest) => void) {
  let got: { request: NodeRequest; response: ServerResponse } | undefined;
  const response = await fetchHandler((nodeRequest, nodeResponse) => {
    got = { request: nodeRequest, response: nodeResponse as ServerResponse };
    answer(got.response, nodeRequest);
  })(request);
  if (got === undefined) throw new Error("The handler got no request");
  return { ...got, answer: response };
}

test("a request keeps its method, path, query, headers and body", async () => {
  const sent = new Request(url, { method: "POST", headers: { "X-One": "1" }, body: "text" });
  const { request, answer } = await served(sent, (response, nodeRequest) => {
    nodeRequest.pipe(response);
  });
  expect(request).toMatchObject({ method: "POST", url: "/path?query", headers: { "x-one": "1", host: "host" } });
  expect(await answer.text()).toBe("text");
});

test("a stream holds what a reader has not asked for to the mark of its buffer, and tells when it is taken", async () => {
  const taken: number[] = [];
  let hasRoom = true;
  const { response, answer } = await served(new Request(url), (nodeResponse) => {
    for (let part = 0; hasRoom && part < 1_000; part++)
      hasRoom = nodeResponse.write(Buffer.alloc(16 * 1024), () => taken.push(part));
  });
  expect(hasRoom).toBe(false);
  expect(response.writableLength).toBeLessThanOrEqual(64 * 1024);
  const reader = answer.body?.getReader();
  expect(taken).toEqual([]);
  await reader?.read();
  await eventually("one part is taken", () => taken.length === 1);
  const drained = once(response, "drain");
  for (let left = response.writableLength; left > 0; left -= 16 * 1024) await reader?.read();
  await drained;
});

test("a reader that cancels closes the response before its end", async () => {
  const { response, answer } = await served(new Request(url), (nodeResponse) => void nodeResponse.write("part"));
  const closed = once(response, "close");
  await answer.body?.cancel();
  await closed;
  expect(response.writableEnded).toBe(false);
});

test("a request that is aborted closes its response, begun or not", async () => {
  const early = new AbortController();
  const answer = await served(new Request(url, { signal: early.signal }), () => early.abort());
  expect(answer.answer.status).toBe(499);
  const late = new AbortController();
  const begun = await served(new Request(url, { signal: late.signal }), (response) => void response.write("part"));
  const closed = once(begun.response, "close");
  late.abort();
  await closed;
  await expect(begun.answer.text()).rejects.toThrow("The answer was cut");
});

test("a body that the host has read is refused with an error that says so", async () => {
  const request = new Request(url, { method: "POST", body: "text" });
  await request.text();
  const answer = await fetchHandler(() => expect.unreachable())(request);
  expect(answer.status).toBe(500);
  expect(await answer.text()).toContain("The host has read the body of the request before");
});

test("an answer without a body has none", async () => {
  const { answer } = await served(new Request(url), (response) => void response.writeHead(204).end());
  expect(answer).toMatchObject({ status: 204, body: null });
});

test.each([
  ["/a2a", "/"],
  ["/a2a?x", "/?x"],
  ["/a2a/tasks", "/tasks"],
  ["/a2ab", undefined],
  ["/", undefined],
])("below /a2a the path %s is %s", async (path, expected) => {
  let got: string | undefined;
  const handler = below("/a2a", (request, response) => {
    got = request.url;
    response.end();
  });
  const answer = await fetchHandler(handler)(new Request(`http://host${path}`));
  expect(got).toBe(expected);
  expect(answer.status).toBe(expected === undefined ? 404 : 200);
});

test("a prefix that no path begins with is refused", () => {
  expect(() => below("a2a", () => undefined)).toThrow("pathPrefix must be an absolute path");
});
