import { createServiceImplSpec } from "@connectrpc/connect";
import { describe, expect, test } from "vitest";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { ConversationService } from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { TaskManagerService } from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { matchTemplate, parseTemplate } from "../../../src/transport/http-json/path-template.ts";
import { findPath, routesOf } from "../../../src/transport/http-json/routes.ts";
import { TestService } from "../test-protos.ts";

const services = [A2AService, TaskManagerService, ConversationService, TestService].map((service) =>
  createServiceImplSpec(service, {}),
);
const routes = routesOf(services);

/** What a verb and a path lead to: method and variables, or the verbs that the path has. */
function found(verb: string, path: string) {
  const at = findPath(routes, path);
  const hit = at?.route(verb);
  return hit === undefined
    ? (at?.verbs ?? "not found")
    : [hit.route.call.method.name, Object.fromEntries(hit.variables)];
}

describe("the routes of A2A", () => {
  test.each([
    ["POST", "/message:send", "SendMessage", {}],
    ["POST", "/acme/message:send", "SendMessage", { tenant: "acme" }],
    ["POST", "/message:stream", "SendStreamingMessage", {}],
    ["GET", "/tasks/t1", "GetTask", { id: "t1" }],
    ["GET", "/acme/tasks/t1", "GetTask", { tenant: "acme", id: "t1" }],
    ["GET", "/tasks", "ListTasks", {}],
    ["POST", "/tasks/t1:cancel", "CancelTask", { id: "t1" }],
    ["POST", "/acme/tasks/t1:cancel", "CancelTask", { tenant: "acme", id: "t1" }],
    ["GET", "/tasks/t1:subscribe", "SubscribeToTask", { id: "t1" }],
    ["POST", "/tasks/t1:subscribe", "SubscribeToTask", { id: "t1" }],
    ["POST", "/acme/tasks/t1:subscribe", "SubscribeToTask", { tenant: "acme", id: "t1" }],
    ["POST", "/tasks/t1/pushNotificationConfigs", "CreateTaskPushNotificationConfig", { task_id: "t1" }],
    ["GET", "/tasks/t1/pushNotificationConfigs", "ListTaskPushNotificationConfigs", { task_id: "t1" }],
    [
      "GET",
      "/acme/tasks/t1/pushNotificationConfigs/c",
      "GetTaskPushNotificationConfig",
      { tenant: "acme", task_id: "t1", id: "c" },
    ],
    ["DELETE", "/tasks/t1/pushNotificationConfigs/c", "DeleteTaskPushNotificationConfig", { task_id: "t1", id: "c" }],
    ["GET", "/extendedAgentCard", "GetExtendedAgentCard", {}],
    ["GET", "/acme/extendedAgentCard", "GetExtendedAgentCard", { tenant: "acme" }],
  ])("%s %s leads to its operation (R170)", (verb, path, method, variables) => {
    expect(found(verb, path)).toEqual([method, variables]);
  });

  test.each([
    ["a slash", "a%2Fb", "a/b"],
    ["a colon", "a%3Acancel", "a:cancel"],
    ["a percent sign", "100%25", "100%"],
    ["an emoji", "%F0%9F%98%80", "😀"],
    ["a space and a plus", "a%20b+c", "a b+c"],
    ["dots", "%2e%2e", ".."],
    ["a colon as it is", "urn:uuid:1", "urn:uuid:1"],
    ["nothing", "", ""],
  ])("an id with %s", (_name, sent, id) => {
    expect(found("GET", `/tasks/${sent}`)).toEqual(["GetTask", { id }]);
    expect(found("POST", `/tasks/${sent}:cancel`)).toEqual(["CancelTask", { id }]);
  });

  test("a verb that the path doesn't have is told from a path that nothing has", () => {
    expect(found("POST", "/tasks/t1")).toEqual(["GET"]);
    expect(found("GET", "/tasks/t1:cancel")).toEqual(["POST"]);
    expect(found("PATCH", "/tasks/t1/pushNotificationConfigs").toString().split(",").toSorted()).toEqual([
      "GET",
      "POST",
    ]);
    expect(found("GET", "/nothing")).toBe("not found");
    expect(found("GET", "/tasks/t1/more")).toBe("not found");
    expect(found("GET", "/")).toBe("not found");
  });

  test("a tenant that is called like a part of a path takes nothing away from what has no tenant", () => {
    expect(found("GET", "/tasks/tasks")).toEqual(["GetTask", { id: "tasks" }]);
    expect(found("GET", "/tasks/extendedAgentCard")).toEqual(["GetTask", { id: "extendedAgentCard" }]);
    expect(found("GET", "/tasks/tasks/pushNotificationConfigs")).toEqual([
      "ListTaskPushNotificationConfigs",
      { task_id: "tasks" },
    ]);
    expect(found("GET", "/tasks/tasks/t1")).toEqual(["GetTask", { tenant: "tasks", id: "t1" }]);
    expect(found("POST", "/tasks/message:send")).toEqual(["SendMessage", { tenant: "tasks" }]);
  });

  test("none of our own paths can be one of A2A's, whatever the tenant and the ids are", () => {
    const own = routes.filter(({ call }) => call.method.parent.file.proto.package === "taskmanager.v1");
    expect(own.length).toBeGreaterThanOrEqual(12);
    for (const { template } of own) {
      const path = `${template.segments.map((segment) => (typeof segment === "string" ? segment : "x")).join("/")}${template.verb && `:${template.verb}`}`;
      const fitting = routes.filter((each) => matchTemplate(each.template, path.split("/")) !== undefined);
      expect(fitting.map(({ call }) => call.method.parent.file.proto.package)).not.toContain("lf.a2a.v1");
      expect(fitting.length).toBeGreaterThan(0);
    }
  });
});

describe("rules that A2A doesn't use", () => {
  test.each([
    ["GET", "/v1/shelves/1/books/2", ["Shelf", { name: "shelves/1/books/2" }]],
    ["GET", "/v1/shelves/a%2Fb/books/%C3%A9", ["Shelf", { name: "shelves/a%2Fb/books/é" }]],
    ["GET", "/v1/shelves/a%2fb/books/2", ["Shelf", { name: "shelves/a%2Fb/books/2" }]],
    ["GET", "/v1/shelves/1/magazines/2", "not found"],
    ["GET", "/files/a/b%20c/d", ["Files", { "inner.name": "a/b c/d" }]],
    ["GET", "/files", ["Files", { "inner.name": "" }]],
    ["PURGE", "/things/x", ["Custom", { name: "x" }]],
    ["PUT", "/things/x/inner", ["Part", { name: "x" }]],
    ["GET", "/watch", ["Watch", {}]],
    ["POST", "/watch", ["Watch", {}]],
  ])("%s %s", (verb, path, expected) => {
    expect(found(verb, path)).toEqual(expected);
  });

  test.each([
    "tasks",
    "/",
    "/a//b",
    "/a/{id",
    "/{id}x",
    "/a/{**}/b",
    "/{a=**}/b",
    "/a:b/c",
  ])("%s is no template", (text) => {
    expect(() => parseTemplate(text)).toThrow(text);
  });
});
