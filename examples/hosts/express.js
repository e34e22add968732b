import { createHandler, fetchBindings } from "a2a-task-manager/server";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import express from "express";
import processor from "./agent.js";

const port = Number(process.env.PORT ?? 3000);
const storage = await createSqliteStorage("tasks.db");
const publicUrl = new URL(`http://127.0.0.1:${port}/a2a`);
const handler = await createHandler({ processor, storage, publicUrl, calls: { bindings: fetchBindings } });

const app = express();
app.use("/a2a", handler.node); // Express strips the prefix. Before express.json().
app.use(express.json());
app.post("/", (request, response) => response.json(request.body));
const server = app.listen(port, "127.0.0.1", () => console.log("ready"));

process.once("SIGTERM", async () => {
  await handler[Symbol.asyncDispose]();
  server.close();
  await storage[Symbol.asyncDispose]();
});
