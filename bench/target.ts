// The process under test: `target.ts bare`, or `target.ts task|reply STORAGE_URL` for a task manager.
import { createServer as createHttp2Server } from "node:http2";
import type { AddressInfo } from "node:net";
import { connectNodeAdapter } from "@connectrpc/connect-node";
import { A2AService } from "../gen/lf/a2a/v1/a2a_pb.ts";
import { openStorage } from "../src/server/open-storage.ts";
import { createServer } from "../src/server/server.ts";
import { agent, replyingAgent } from "./agent.ts";
import { bareService } from "./bare-service.ts";
import { carryOut, liveBytes } from "./child.ts";

const [kind = "", storageUrl = ""] = process.argv.slice(2);
const url = kind === "bare" ? await startBare() : await startServer();

const commands = {
  url: async () => url,
  liveBytes: () => liveBytes(),
};
export type TargetCommands = typeof commands;
carryOut(commands);

async function startServer(): Promise<string> {
  const server = await createServer({
    processor: kind === "reply" ? replyingAgent : agent,
    storage: await openStorage(storageUrl),
    listener: { port: 0 },
    manager: { maxRunningTasks: 1000 },
  });
  await server.listen();
  return server.url.href;
}

/** Connect on Node's own HTTP/2 server, with its defaults but for one that would refuse thousands of streams. */
async function startBare(): Promise<string> {
  const handler = connectNodeAdapter({ routes: (router) => router.service(A2AService, bareService) });
  const server = createHttp2Server({ maxSessionMemory: 256 }, handler);
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
