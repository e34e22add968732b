import type { JsonObject, JsonValue } from "@bufbuild/protobuf";
import { invalidRequest } from "../../domain/task-error.ts";

/**
 * A data part of version 0.3 holds an object only. With this key in its metadata the member "value" is the data, as in
 * the SDKs.
 */
export const wrappedDataKey = "data_part_compat";

/**
 * `MessageSendParams` → `SendMessageRequest`, both as JSON. Throws TaskError INVALID_REQUEST that names the field of 0.3,
 * like all functions here.
 */
export function sendToV1(params: JsonObject): JsonObject {
  const { configuration, metadata } = params;
  return {
    message: messageToV1(objectIn(params, "message"), "message"),
    ...(isGiven(configuration) && { configuration: configurationToV1(objectIn(params, "configuration")) }),
    ...(isGiven(metadata) && { metadata }),
  };
}

function configurationToV1(configuration: JsonObject): JsonObject {
  const { acceptedOutputModes, blocking, historyLength } = configuration;
  if (isGiven(blocking) && typeof blocking !== "boolean")
    throw fault("configuration.blocking", "must be true or false");
  return {
    ...(isGiven(acceptedOutputModes) && { acceptedOutputModes }),
    // Waiting is the default in both versions.
    returnImmediately: blocking === false,
    // 0 asks for all in version 0.3.
    ...(isGiven(historyLength) && historyLength !== 0 && { historyLength }),
    ...(isGiven(configuration.pushNotificationConfig) && {
      taskPushNotificationConfig: pushConfigToV1(
        objectIn(configuration, "pushNotificationConfig", "configuration."),
        "configuration.pushNotificationConfig",
      ),
    }),
  };
}

/** `TaskQueryParams` → `GetTaskRequest`. */
export function queryToV1({ id, historyLength }: JsonObject): JsonObject {
  return { ...(isGiven(id) && { id }), ...(isGiven(historyLength) && historyLength !== 0 && { historyLength }) };
}

/** `TaskIdParams` → `CancelTaskRequest`, and without the metadata `SubscribeToTaskRequest`. */
export function taskIdToV1({ id, metadata }: JsonObject, withMetadata: boolean): JsonObject {
  return { ...(isGiven(id) && { id }), ...(withMetadata && isGiven(metadata) && { metadata }) };
}

/** `TaskPushNotificationConfig`, the params of `set`. */
export function pushToV1(params: JsonObject): JsonObject {
  const { taskId } = params;
  return {
    ...(isGiven(taskId) && { taskId }),
    ...pushConfigToV1(objectIn(params, "pushNotificationConfig"), "pushNotificationConfig"),
  };
}

/** The params of the other push methods: `id` is the task's. */
export function pushIdToV1({ id, pushNotificationConfigId }: JsonObject): JsonObject {
  return {
    ...(isGiven(id) && { taskId: id }),
    ...(isGiven(pushNotificationConfigId) && { id: pushNotificationConfigId }),
  };
}

function pushConfigToV1(config: JsonObject, field: string): JsonObject {
  const { url, id, token } = config;
  const authentication = isGiven(config.authentication) ? objectIn(config, "authentication", `${field}.`) : undefined;
  return {
    ...(isGiven(url) && { url }),
    ...(isGiven(id) && { id }),
    ...(isGiven(token) && { token }),
    ...(authentication && { authentication: authenticationToV1(authentication, `${field}.authentication`) }),
  };
}

/** Version 1.0 takes one scheme: the first. */
function authenticationToV1({ schemes, credentials }: JsonObject, field: string): JsonObject {
  const scheme = Array.isArray(schemes) ? schemes[0] : undefined;
  if (scheme === undefined) throw fault(`${field}.schemes`, "must be a list with at least one scheme");
  return { scheme, ...(isGiven(credentials) && { credentials }) };
}

const roles: Readonly<Record<string, string>> = { user: "ROLE_USER", agent: "ROLE_AGENT" };

function messageToV1(message: JsonObject, field: string): JsonObject {
  const { role, parts, kind } = message;
  if (isGiven(kind) && kind !== "message") throw fault(`${field}.kind`, 'must be "message"');
  const roleV1 = typeof role === "string" ? roles[role] : undefined;
  if (roleV1 === undefined) throw fault(`${field}.role`, 'must be "user" or "agent"');
  if (!Array.isArray(parts)) throw fault(`${field}.parts`, "must be a list");
  return {
    ...picked(message, ["messageId", "contextId", "taskId", "referenceTaskIds", "extensions", "metadata"]),
    role: roleV1,
    parts: parts.map((part, index) => partToV1(asObject(part, `${field}.parts[${index}]`), `${field}.parts[${index}]`)),
  };
}

function partToV1(part: JsonObject, field: string): JsonObject {
  const { kind, metadata } = part;
  switch (kind) {
    case "text":
      if (typeof part.text !== "string") throw fault(`${field}.text`, "must be a text");
      return { text: part.text, ...(isGiven(metadata) && { metadata }) };
    case "data": {
      const data = objectIn(part, "data", `${field}.`);
      const { [wrappedDataKey]: wrapped, ...others } = isGiven(metadata) ? asObject(metadata, `${field}.metadata`) : {};
      const rest = Object.keys(others).length > 0 ? { metadata: others } : {};
      return wrapped === true
        ? { data: data.value ?? null, ...rest }
        : { data, ...(isGiven(metadata) && { metadata }) };
    }
    case "file": {
      const file = objectIn(part, "file", `${field}.`);
      const { bytes, uri, mimeType, name } = file;
      if (isGiven(bytes) === isGiven(uri)) throw fault(`${field}.file`, "must have either bytes or a uri");
      return {
        ...(isGiven(bytes) ? { raw: bytes } : { url: uri as JsonValue }),
        ...(isGiven(mimeType) && { mediaType: mimeType }),
        ...(isGiven(name) && { filename: name }),
        ...(isGiven(metadata) && { metadata }),
      };
    }
    default:
      throw fault(`${field}.kind`, 'must be "text", "file" or "data"');
  }
}

// ── Pieces ──

/** In version 0.3 an absent value may also be null. */
function isGiven(value: JsonValue | undefined): value is Exclude<JsonValue, null> {
  return value !== undefined && value !== null;
}

function picked(from: JsonObject, names: readonly string[]): JsonObject {
  const entries = names.flatMap((name) => (isGiven(from[name]) ? [[name, from[name]] as const] : []));
  return Object.fromEntries(entries);
}

function objectIn(from: JsonObject, name: string, prefix = ""): JsonObject {
  return asObject(from[name], `${prefix}${name}`);
}

function asObject(value: JsonValue | undefined, field: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw fault(field, "must be an object");
  return value;
}

function fault(field: string, description: string): Error {
  return invalidRequest([{ field, description }]);
}
