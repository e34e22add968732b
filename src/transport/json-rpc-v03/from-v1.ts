import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { wrappedDataKey } from "./to-v1.ts";

/** Translates JSON of version 1.0, as our encoder writes it, to version 0.3. */

const states: Readonly<Record<string, string>> = {
  TASK_STATE_SUBMITTED: "submitted",
  TASK_STATE_WORKING: "working",
  TASK_STATE_COMPLETED: "completed",
  TASK_STATE_FAILED: "failed",
  TASK_STATE_CANCELED: "canceled",
  TASK_STATE_INPUT_REQUIRED: "input-required",
  TASK_STATE_REJECTED: "rejected",
  TASK_STATE_AUTH_REQUIRED: "auth-required",
};

/** The states that end a stream. AUTH_REQUIRED doesn't: the agent goes on when the authentication is done. */
const lastStates = new Set(["completed", "failed", "canceled", "rejected", "input-required"]);

export function taskFromV1(task: JsonObject): JsonObject {
  const { id, contextId, status, history, artifacts, metadata } = task;
  return {
    kind: "task",
    id: id ?? "",
    contextId: contextId ?? "",
    status: statusFromV1(objectOf(status)),
    ...(history !== undefined && { history: listOf(history).map(messageFromV1) }),
    ...(artifacts !== undefined && { artifacts: listOf(artifacts).map(artifactFromV1) }),
    ...(metadata !== undefined && { metadata }),
  };
}

export function messageFromV1(message: JsonObject): JsonObject {
  const { role, parts, ...rest } = message;
  return {
    kind: "message",
    ...withoutEmpty(rest),
    role: role === "ROLE_USER" ? "user" : "agent",
    parts: listOf(parts).map(partFromV1),
  };
}

/** The result of `message/send`: the task or message itself, not wrapped. */
export function sentFromV1({ task, message }: JsonObject): JsonObject {
  return task !== undefined ? taskFromV1(objectOf(task)) : messageFromV1(objectOf(message));
}

/** An event of a stream. */
export function eventFromV1(event: JsonObject): JsonObject {
  const { statusUpdate, artifactUpdate } = event;
  if (statusUpdate !== undefined) {
    const { status, ...rest } = objectOf(statusUpdate);
    const statusV03 = statusFromV1(objectOf(status));
    return { kind: "status-update", ...rest, status: statusV03, final: lastStates.has(String(statusV03.state)) };
  }
  if (artifactUpdate !== undefined) {
    const { artifact, ...rest } = objectOf(artifactUpdate);
    return { kind: "artifact-update", ...rest, artifact: artifactFromV1(objectOf(artifact)) };
  }
  return sentFromV1(event);
}

export function pushFromV1({ taskId, url, id, token, authentication }: JsonObject): JsonObject {
  const { scheme, credentials } = objectOf(authentication ?? {});
  return {
    taskId: taskId ?? "",
    pushNotificationConfig: {
      url: url ?? "",
      ...(id !== undefined && { id }),
      ...(token !== undefined && { token }),
      ...(authentication !== undefined && {
        authentication: { schemes: [scheme ?? ""], ...(credentials !== undefined && { credentials }) },
      }),
    },
  };
}

function statusFromV1({ state, message, timestamp }: JsonObject): JsonObject {
  return {
    state: states[String(state)] ?? "unknown",
    ...(message !== undefined && { message: messageFromV1(objectOf(message)) }),
    ...(timestamp !== undefined && { timestamp }),
  };
}

function artifactFromV1(artifact: JsonObject): JsonObject {
  const { parts, ...rest } = artifact;
  return { ...withoutEmpty(rest), parts: listOf(parts).map(partFromV1) };
}

function partFromV1({ text, raw, url, data, mediaType, filename, metadata }: JsonObject): JsonObject {
  const withMetadata = metadata !== undefined && { metadata };
  if (text !== undefined) return { kind: "text", text, ...withMetadata };
  if (raw !== undefined || url !== undefined) {
    const content: JsonObject = raw !== undefined ? { bytes: raw } : { uri: url ?? "" };
    return {
      kind: "file",
      file: {
        ...content,
        ...(mediaType !== undefined && { mimeType: mediaType }),
        ...(filename !== undefined && { name: filename }),
      },
      ...withMetadata,
    };
  }
  if (isObject(data)) return { kind: "data", data, ...withMetadata };
  return {
    kind: "data",
    data: { value: data ?? null },
    metadata: { ...objectOf(metadata ?? {}), [wrappedDataKey]: true },
  };
}

// ── Pieces ──

/** Version 0.3 leaves out unknown ids. */
function withoutEmpty(from: JsonObject): JsonObject {
  return Object.fromEntries(Object.entries(from).filter(([, value]) => value !== ""));
}

function listOf(value: JsonValue | undefined): readonly JsonObject[] {
  return Array.isArray(value) ? value.map(objectOf) : [];
}

function objectOf(value: JsonValue | undefined): JsonObject {
  return isObject(value) ? value : {};
}

function isObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
