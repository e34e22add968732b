import { afterEach, describe, expect, test } from "vitest";
import { demoProcessor } from "../../../src/agent/demo-processor.ts";
import { createServer, type Server } from "../../../src/server/server.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { type BindingName, bindingNames } from "../../../src/transport/binding-names.ts";
import { bindings, toldError } from "../bindings.ts";
import { userMessage } from "./call-fixtures.ts";

/** Which of the clients needs what to be turned on. */
const needs: Readonly<Record<string, BindingName>> = {
  gRPC: "grpc",
  "gRPC-Web over HTTP/1.1": "grpc-web",
  "Connect JSON over HTTP/1.1": "connect",
  "Connect JSON over HTTP/2": "connect",
  "Connect binary over HTTP/2": "connect",
  "HTTP+JSON": "http+json",
  "JSON-RPC": "json-rpc",
};

let server: Server;
afterEach(() => server[Symbol.asyncDispose]());

async function served(offered: readonly BindingName[]): Promise<readonly BindingName[]> {
  server = await createServer({
    processor: demoProcessor,
    storage: createMemoryStorage(),
    listener: { port: 0 },
    calls: { bindings: offered },
  });
  await server.listen();
  const answered = await Promise.all(
    bindings.map(async ({ name, connect }) => {
      const answer = await connect(server.url.origin)
        .a2a.sendMessage({ message: userMessage("hello") })
        .then(() => "answered", toldError);
      return answer === "answered" ? [needs[name] ?? "unknown"] : [];
    }),
  );
  return bindingNames.filter((name) => answered.flat().includes(name));
}

describe("bindings", () => {
  test("are all there unless they are turned off", async () => {
    expect(await served(bindingNames)).toEqual(bindingNames);
  });

  test("have a card where one of them is A2A's own, and none elsewhere (R150)", async () => {
    const status = async (...offered: BindingName[]) => {
      await served(offered);
      const response = await fetch(new URL("/.well-known/agent-card.json", server.url));
      await response.arrayBuffer();
      return response.status;
    };
    expect(await status("http+json")).toBe(200);
    await server[Symbol.asyncDispose]();
    expect(await status("grpc-web", "connect")).toBe(404);
  });

  test.each(bindingNames)("are turned on one by one: %s alone", async (name) => {
    expect(await served([name])).toEqual([name]);
  });

  test.each(bindingNames)("are turned off one by one: all but %s", async (name) => {
    const others = bindingNames.filter((each) => each !== name);
    expect(await served(others)).toEqual(others);
  });

  test("are told to a browser that comes by, those that are offered alone", async () => {
    await served(["http+json", "grpc"]);
    expect(await (await fetch(server.url)).text()).toBe(
      "A2A Task Manager: A2A 1.0 over HTTP+JSON (/openapi.json), gRPC\n",
    );
  });

  test("that are turned off take their description with them", async () => {
    await served(["json-rpc"]);
    expect((await fetch(new URL("/openapi.json", server.url))).status).toBe(404);
  });
});
