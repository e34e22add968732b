import { createServiceImplSpec } from "@connectrpc/connect";
import { createConfig, lintFromString } from "@redocly/openapi-core";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openApiDocument } from "../../../src/transport/http-json/openapi.ts";
import { type RawServer, startRawServer, userMessage } from "../listener/raw-server.ts";
import { TestService } from "../test-protos.ts";

type Json = Readonly<Record<string, never>>;
interface Operation {
  readonly operationId: string;
  readonly tags: readonly string[];
  readonly description?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: string;
    readonly required?: boolean;
    readonly description?: string;
    readonly schema: Json;
  }[];
  readonly requestBody?: {
    readonly required: boolean;
    readonly content: Readonly<Record<string, { readonly schema: Json }>>;
  };
  readonly responses: Readonly<
    Record<string, { readonly content?: Readonly<Record<string, { readonly schema: Json }>> }>
  >;
}
interface Document {
  readonly openapi: string;
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, Json>> };
}

let raw: RawServer;
let text: string;
let document: Document;
beforeAll(async () => {
  raw = await startRawServer();
  text = (await raw.http1("/openapi.json")).body;
  document = JSON.parse(text);
});
afterAll(() => raw[Symbol.asyncDispose]());

const operations = () =>
  Object.entries(document.paths).flatMap(([path, verbs]) =>
    Object.entries(verbs).map(([verb, operation]) => ({ path, verb, operation })),
  );

describe("the OpenAPI document", () => {
  test("is served as JSON", async () => {
    const head = await raw.http1("/openapi.json", { method: "HEAD" });
    expect([head.status, head.headers["content-type"], head.headers["content-length"]]).toEqual([
      200,
      "application/json",
      String(Buffer.byteLength(text)),
    ]);
    expect(document.openapi).toMatch(/^3\.1\./);
  });

  test("has nothing that a linter finds wrong", async () => {
    // A2A's tenant in front of every path makes `/{tenant}/tasks` and `/tasks/{id}` ambiguous: that is the contract's,
    // and which of the two is meant is settled.
    const config = await createConfig({ extends: ["recommended-strict"], rules: { "no-ambiguous-paths": "off" } });
    const problems = await lintFromString({ source: text, absoluteRef: "openapi.json", config });
    expect(problems.map(({ ruleId, message, location }) => `${ruleId}: ${message} ${location[0]?.pointer}`)).toEqual(
      [],
    );
  });

  test("has every operation of A2A with and without a tenant, and our own", () => {
    const ids = operations().map(({ operation }) => operation.operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const method of [
      "SendMessage",
      "SendStreamingMessage",
      "GetTask",
      "ListTasks",
      "CancelTask",
      "SubscribeToTask",
      "SubscribeToTaskByPost",
      "CreateTaskPushNotificationConfig",
      "GetTaskPushNotificationConfig",
      "ListTaskPushNotificationConfigs",
      "DeleteTaskPushNotificationConfig",
      "GetExtendedAgentCard",
    ]) {
      expect(ids).toContain(method);
      expect(ids).toContain(`${method}WithTenant`);
    }
    for (const method of ["WatchTask", "GetTaskAt", "DeleteTask", "ListConversations", "CleanupExpiredConversations"])
      expect(ids).toContain(method);
  });

  test("names what is in path, query and body, and what must be there", () => {
    const list = document.paths["/{tenant}/tasks"]?.get;
    expect(list?.parameters?.map((parameter) => [parameter.in, parameter.name, parameter.required ?? false])).toEqual([
      ["path", "tenant", true],
      ["query", "contextId", false],
      ["query", "status", false],
      ["query", "pageSize", false],
      ["query", "pageToken", false],
      ["query", "historyLength", false],
      ["query", "statusTimestampAfter", false],
      ["query", "includeArtifacts", false],
      ["header", "A2A-Version", true],
      ["header", "A2A-Extensions", false],
    ]);
    const cancel = document.paths["/tasks/{id}:cancel"]?.post?.requestBody;
    expect([cancel?.required, Object.keys(cancel?.content["application/json"]?.schema.properties ?? {})]).toEqual([
      false,
      ["tenant", "metadata"],
    ]);
    expect(document.paths["/message:send"]?.post?.requestBody?.required).toBe(true);
    expect(document.components.schemas["lf.a2a.v1.Message"]).toMatchObject({
      required: ["messageId", "role", "parts"],
    });
    expect(document.components.schemas["taskmanager.v1.GetTaskAtResponse"]).toMatchObject({
      properties: { head: { type: "string", format: "int64" } },
    });
    expect(document.components.schemas["lf.a2a.v1.TaskState"]).toMatchObject({
      type: "string",
      enum: expect.arrayContaining(["TASK_STATE_WORKING"]),
    });
  });

  test("says in words what everything of the protos is", () => {
    const undescribed: string[] = [];
    const look = (where: string, { description }: { readonly description?: unknown }) => {
      if (typeof description !== "string" || description === "") undescribed.push(where);
    };
    for (const { operation } of operations()) {
      look(operation.operationId, operation);
      for (const parameter of operation.parameters ?? []) look(`${operation.operationId} ${parameter.name}`, parameter);
    }
    for (const [name, schema] of Object.entries(document.components.schemas)) {
      // Google's own types are well known.
      if (!/^(lf|taskmanager)\./.test(name)) continue;
      look(name, schema);
      for (const [property, value] of Object.entries((schema.properties ?? {}) as Record<string, Json>))
        look(`${name}.${property}`, value);
    }
    expect(undescribed).toEqual([]);
    expect(document.components.schemas["lf.a2a.v1.TaskState"]?.description).toMatch(
      /^The states of a task.*\n\n- `TASK_STATE_UNSPECIFIED`: /,
    );
    expect(document.components.schemas["lf.a2a.v1.Part"]?.description).toMatch(
      /\n\n`content` is one of `text`, `raw`, `url`, `data`\.$/,
    );
    expect(document.paths["/tasks/{id}"]?.get?.description).toMatch(/^Reads a task as it is now\. /);
  });

  test("names the headers without which a call is refused, and those of streams", async () => {
    await using strict = await startRawServer({ calls: { a2aVersion: "strict" } });
    for (const { path, operation } of operations()) {
      const inHeader = (operation.parameters ?? []).filter((parameter) => parameter.in === "header");
      const isA2A = operation.tags[0] === "A2AService";
      const isStream = Object.hasOwn(operation.responses["200"]?.content ?? {}, "text/event-stream");
      expect([path, inHeader.map(({ name }) => name)]).toEqual([
        path,
        isA2A ? ["A2A-Version", "A2A-Extensions", ...(isStream ? ["Last-Event-ID"] : [])] : [],
      ]);
    }
    const required =
      document.paths["/tasks"]?.get?.parameters?.filter(
        (parameter) => parameter.in === "header" && parameter.required,
      ) ?? [];
    const headers = Object.fromEntries(required.map(({ name, schema }) => [name, String(schema.const)]));
    expect([(await strict.http1("/tasks")).status, (await strict.http1("/tasks", { headers })).status]).toEqual([
      400, 200,
    ]);
  });

  test("names in queries the fields of messages too, but not those that the body holds", () => {
    const { paths } = openApiDocument([createServiceImplSpec(TestService, {})]) as unknown as Document;
    const queryOf = (path: string, verb: string) =>
      (paths[path]?.[verb]?.parameters ?? []).filter((each) => each.in === "query").map(({ name }) => name);
    const query = queryOf("/watch", "get");
    expect(query).toEqual(
      expect.arrayContaining(["name", "boxedBool", "atTime", "tags", "inner.name", "inner.inner.bigCount"]),
    );
    expect(query.filter((name) => /^(inners|byColour|free|inner\.inner\.inner\.)/.test(name))).toEqual([]);
    expect(queryOf("/things/{name}/inner", "put")).toEqual(
      queryOf("/things/{name}", "purge").filter((name) => !name.startsWith("inner.")),
    );
    expect(queryOf("/things/{name}", "post")).toEqual([]);
  });

  test("says where clients reach the server", async () => {
    await using raw = await startRawServer({ publicUrl: new URL("https://agent.example/a2a/") });
    expect([(await raw.http1("/openapi.json")).json, document]).toMatchObject([
      { servers: [{ url: "https://agent.example/a2a" }] },
      { servers: [{ url: "/" }] },
    ]);
  });

  test("says what each call answers with, errors and streams included", () => {
    for (const { operation } of operations()) {
      expect(Object.keys(operation.responses)).toEqual(["200", "4XX", "5XX"]);
      const types = Object.keys(operation.responses["200"]?.content ?? {});
      const isStream = /Stream|Subscribe|Watch/.test(operation.operationId);
      expect(types).toEqual(isStream ? ["text/event-stream"] : ["application/a2a+json", "application/json"]);
    }
  });

  test("describes only what is served", async () => {
    for (const { path, verb } of operations()) {
      const { status, json } = await raw.http1(path.replaceAll(/\{\w+\}/g, "1"), {
        method: verb.toUpperCase(),
        headers: { accept: "application/json, text/event-stream" },
      });
      const { message = "" } = (json as { readonly error?: { readonly message?: string } }).error ?? {};
      expect([status === 405, message]).toEqual([false, expect.not.stringContaining("No such resource")]);
    }
  });

  test("has a member for whatever a call answers with", async () => {
    const body = JSON.stringify({ message: userMessage("hello") });
    const { json } = await raw.http1("/message:send", {
      method: "POST",
      headers: { "content-type": "application/json" },
      body,
    });
    const { task } = json as unknown as { readonly task: Json };
    const { properties, required } = document.components.schemas["lf.a2a.v1.Task"] as unknown as {
      readonly properties: Json;
      readonly required: readonly string[];
    };
    expect(Object.keys(properties)).toEqual(expect.arrayContaining(Object.keys(task)));
    expect(Object.keys(task)).toEqual(expect.arrayContaining([...required]));
  });
});
