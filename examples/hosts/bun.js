import { createHandler, fetchBindings } from "a2a-task-manager/server";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import processor from "./agent.js";

const port = Number(process.env.PORT ?? 3000);
const storage = await createSqliteStorage("tasks.db");
const handler = await createHandler({
  processor,
  storage,
  publicUrl: new URL(`http://127.0.0.1:${port}/a2a`),
  pathPrefix: "/a2a",
  calls: { bindings: fetchBindings },
});

// A stream may be silent for longer than Bun's 10 s.
const server = Bun.serve({ port, hostname: "127.0.0.1", idleTimeout: 0, fetch: handler.fetch });
console.log("ready");

process.once("SIGTERM", async () => {
  await handler[Symbol.asyncDispose]();
  await server.stop();
  await storage[Symbol.asyncDispose]();
});
