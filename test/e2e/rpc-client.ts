import type { DescMethod, JsonObject, JsonValue } from "@bufbuild/protobuf";
import { codes, errorWith, type JsonProtocol } from "./json-client.ts";

/** What JSON-RPC's codes stand for, by the reason beside them: several of ours share a code there. */
const reasons: Readonly<Record<string, readonly [number, string]>> = {
  TASK_NOT_FOUND: [-32001, "NOT_FOUND"],
  TASK_NOT_CANCELABLE: [-32002, "FAILED_PRECONDITION"],
  PUSH_NOTIFICATION_NOT_SUPPORTED: [-32003, "FAILED_PRECONDITION"],
  UNSUPPORTED_OPERATION: [-32004, "FAILED_PRECONDITION"],
  CONTENT_TYPE_NOT_SUPPORTED: [-32005, "INVALID_ARGUMENT"],
  EXTENDED_AGENT_CARD_NOT_CONFIGURED: [-32007, "FAILED_PRECONDITION"],
  EXTENSION_SUPPORT_REQUIRED: [-32008, "FAILED_PRECONDITION"],
  VERSION_NOT_SUPPORTED: [-32009, "FAILED_PRECONDITION"],
  INVALID_REQUEST: [-32602, "INVALID_ARGUMENT"],
  CONVERSATION_NOT_FOUND: [-32001, "NOT_FOUND"],
  OUT_OF_RANGE: [-32602, "OUT_OF_RANGE"],
  TOO_LARGE: [-32602, "RESOURCE_EXHAUSTED"],
  STILL_RUNNING: [-32602, "FAILED_PRECONDITION"],
  UNAVAILABLE: [-32603, "UNAVAILABLE"],
};

let lastId = 0;

/** A2A's JSON-RPC. */
export const rpcProtocol: JsonProtocol = {
  request(method: DescMethod, params: JsonObject) {
    const name =
      method.parent.file.proto.package === "lf.a2a.v1" ? method.name : `${method.parent.typeName}/${method.name}`;
    lastId++;
    return { verb: "POST", path: "/", body: { jsonrpc: "2.0", id: lastId, method: name, params } };
  },

  output({ jsonrpc, id, result, error }: JsonObject): JsonValue {
    if (jsonrpc !== "2.0" || typeof id !== "number") throw new Error("Not a response of JSON-RPC 2.0");
    if (error === undefined) return result ?? null;
    const { code, message, data } = error as {
      readonly code: number;
      readonly message: string;
      readonly data: JsonObject[];
    };
    const [expected, status = ""] = reasons[String(data[0]?.reason)] ?? [];
    const connectCode = codes[status];
    if (code !== expected || connectCode === undefined) throw new Error(`${data[0]?.reason} has the code ${code}`);
    throw errorWith(message, connectCode, data);
  },
};
