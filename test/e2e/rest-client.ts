import type { DescMethod, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { codes, errorWith, type JsonProtocol } from "./json-client.ts";

/**
 * The routes as a client's author would read them in the specification and our own documentation; `{}` are fields of
 * the request.
 */
const routes: Readonly<Record<string, string>> = {
  SendMessage: "POST /message:send",
  SendStreamingMessage: "POST /message:stream",
  GetTask: "GET /tasks/{id}",
  ListTasks: "GET /tasks",
  CancelTask: "POST /tasks/{id}:cancel",
  SubscribeToTask: "GET /tasks/{id}:subscribe",
  CreateTaskPushNotificationConfig: "POST /tasks/{taskId}/pushNotificationConfigs",
  GetTaskPushNotificationConfig: "GET /tasks/{taskId}/pushNotificationConfigs/{id}",
  ListTaskPushNotificationConfigs: "GET /tasks/{taskId}/pushNotificationConfigs",
  DeleteTaskPushNotificationConfig: "DELETE /tasks/{taskId}/pushNotificationConfigs/{id}",
  GetExtendedAgentCard: "GET /extendedAgentCard",
  WatchTask: "GET /taskmanager/v1/tasks/{taskId}:watch",
  GetTaskAt: "GET /taskmanager/v1/tasks/{taskId}/states/{sequence}",
  TaskExists: "GET /taskmanager/v1/tasks/{taskId}:exists",
  DeleteTask: "DELETE /taskmanager/v1/tasks/{taskId}",
  GetConversation: "GET /taskmanager/v1/conversations/{contextId}",
  ListConversations: "GET /taskmanager/v1/conversations",
  ListMessages: "GET /taskmanager/v1/conversations/{contextId}/messages",
  DeleteMessage: "DELETE /taskmanager/v1/messages/{messageId}",
  UpdateConversationAccess: "POST /taskmanager/v1/conversations/{contextId}:access",
  DeleteConversation: "DELETE /taskmanager/v1/conversations/{contextId}",
  GetConversationStats: "GET /taskmanager/v1/conversations:stats",
  CleanupExpiredConversations: "POST /taskmanager/v1/conversations:cleanup",
};

/** What is in the path of a request without it: 0 for a number. */
const absent: Readonly<Record<string, string>> = { sequence: "0" };

/** A2A's HTTP+JSON, with the tenant in the path where A2A has one there. */
export const restProtocol: JsonProtocol = {
  request(method: DescMethod, input: JsonObject) {
    const [verb = "", template = ""] = (routes[method.name] ?? "").split(" ");
    const rest = { ...input };
    const take = (name: string) => {
      const value = String(rest[name] ?? absent[name] ?? "");
      delete rest[name];
      return encodeURIComponent(value);
    };
    let path = template.replaceAll(/\{(\w+)\}/g, (_, name: string) => take(name));
    if (rest.tenant !== undefined && method.parent.file.proto.package === "lf.a2a.v1")
      path = `/${take("tenant")}${path}`;
    if (verb === "POST") return { verb, path, body: rest };
    const query = new URLSearchParams(
      Object.entries(rest).flatMap(([name, value]) => [value].flat().map((each) => [name, String(each)])),
    );
    return { verb, path: query.size === 0 ? path : `${path}?${query}` };
  },

  output(json: JsonObject): JsonValue {
    if (json.error === undefined) return json;
    const { status, message, details } = json.error as {
      readonly status: string;
      readonly message: string;
      readonly details: JsonObject[];
    };
    const code = codes[status];
    if (code === undefined) throw new Error(`An error has the unknown status ${status}`);
    throw errorWith(message, code, details);
  },
};
