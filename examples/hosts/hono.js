import { serve } from "@hono/node-server";
import { createHandler, fetchBindings } from "a2a-task-manager/server";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import { Hono } from "hono";
import processor from "./agent.js";

const port = Number(process.env.PORT ?? 3000);
const storage = await createSqliteStorage("tasks.db");
const publicUrl = new URL(`http://127.0.0.1:${port}/a2a`);
const handler = await createHandler({ processor, storage, publicUrl, calls: { bindings: fetchBindings } });

const app = new Hono();
app.mount("/a2a", handler.fetch); // Hono strips the prefix.
const server = serve({ fetch: app.fetch, port, hostname: "127.0.0.1" }, () => console.log("ready"));

process.once("SIGTERM", async () => {
  await handler[Symbol.asyncDispose]();
  server.close();
  await storage[Symbol.asyncDispose]();
});
