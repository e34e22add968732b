import { createHandler, fetchBindings } from "a2a-task-manager/server";
import { createSqliteStorage } from "a2a-task-manager/sqlite";
import Fastify from "fastify";
import processor from "./agent.js";

const port = Number(process.env.PORT ?? 3000);
const storage = await createSqliteStorage("tasks.db");
const publicUrl = new URL(`http://127.0.0.1:${port}/a2a`);
const handler = await createHandler({
  processor,
  storage,
  publicUrl,
  pathPrefix: "/a2a",
  calls: { bindings: fetchBindings },
});

const app = Fastify();
app.post("/", (request) => request.body);
app.register(async (scope) => {
  // In this scope alone nobody reads the body before the handler.
  scope.removeAllContentTypeParsers();
  scope.addContentTypeParser("*", (_request, _payload, done) => done(null));
  scope.all("/a2a/*", (request, reply) => {
    reply.hijack();
    handler.node(request.raw, reply.raw);
  });
});
await app.listen({ port, host: "127.0.0.1" });
console.log("ready");

process.once("SIGTERM", async () => {
  await handler[Symbol.asyncDispose]();
  await app.close();
  await storage[Symbol.asyncDispose]();
});
