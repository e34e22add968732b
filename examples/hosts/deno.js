import { createHandler, fetchBindings } from "a2a-task-manager/server";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import processor from "./agent.js";

const port = Number(Deno.env.get("PORT") ?? 3000);
const storage = await createSqliteStorage("tasks.db");
const handler = await createHandler({
  processor,
  storage,
  publicUrl: new URL(`http://127.0.0.1:${port}/a2a`),
  pathPrefix: "/a2a",
  calls: { bindings: fetchBindings },
});

const onListen = () => console.log("ready");
const server = Deno.serve({ port, hostname: "127.0.0.1", onListen }, handler.fetch);

Deno.addSignalListener("SIGTERM", async () => {
  await handler[Symbol.asyncDispose]();
  await server.shutdown();
  await storage[Symbol.asyncDispose]();
  Deno.exit();
});
