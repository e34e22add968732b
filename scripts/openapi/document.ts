import {
  createFileRegistry,
  type DescField,
  type DescMessage,
  type DescService,
  fromBinary,
  type JsonObject,
} from "@bufbuild/protobuf";
import { FileDescriptorSetSchema } from "@bufbuild/protobuf/wkt";
import { createServiceImplSpec } from "@connectrpc/connect";
import { BadRequestSchema, ErrorInfoSchema } from "../../gen/google/rpc/error_details_pb.ts";
import { extensionsParameter } from "../../src/transport/admission/a2a-extensions.ts";
import { servedVersion, versionParameter } from "../../src/transport/admission/a2a-version.ts";
import { cursorParameter, eventSequenceUri } from "../../src/transport/calls/event-sequence.ts";
import { isTextInQuery } from "../../src/transport/http-json/bind-request.ts";
import { eventStreamType, jsonTypes } from "../../src/transport/http-json/media-types.ts";
import { fieldsAt, type Route, routesOf } from "../../src/transport/http-json/routes.ts";
import { descriptionOf } from "./description.ts";
import { OpenApiSchemas } from "./schemas.ts";

const a2aService = "lf.a2a.v1.A2AService";
/** The services that `servedServices` serves, in its order. */
const servedServices = [a2aService, "taskmanager.v1.TaskManagerService", "taskmanager.v1.ConversationService"];

/** The text of `gen/openapi.json`. `image`: the served protos with their comments, as `buf build` writes them. */
export function openApiText(image: Uint8Array): string {
  const registry = createFileRegistry(fromBinary(FileDescriptorSetSchema, image));
  const services = servedServices.map((name) => {
    const service = registry.getService(name);
    if (service === undefined) throw new Error(`The protos have no service ${name}`);
    return service;
  });
  return `${JSON.stringify(openApiDocument(services), null, 2)}\n`;
}

/** How deep the document names fields of nested messages in a query: a type may contain itself. */
const queryDepthMax = 3;

/**
 * OpenAPI 3.1 of the services over HTTP+JSON, from the same routes as the server's own (R170). The server puts its own
 * address into `servers`.
 */
export function openApiDocument(services: readonly DescService[]): JsonObject {
  const schemas = new OpenApiSchemas();
  const paths: Record<string, JsonObject> = {};
  for (const route of routesOf(services.map((service) => createServiceImplSpec(service, {})))) {
    const path = documentPath(route);
    paths[path] = { ...paths[path], [route.verb.toLowerCase()]: operationOf(route, schemas) };
  }
  const error = errorSchema(schemas);
  return {
    openapi: "3.1.1",
    info: {
      title: "A2A Task Manager",
      version: "1.0",
      summary: "The HTTP+JSON binding of the Agent2Agent protocol, and the task manager's own services",
      license: { name: "Apache 2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    security: [],
    tags: services.map((service) => ({
      name: service.name,
      description: `The service ${service.typeName}`,
      ...descriptionOf(service),
    })),
    paths: Object.fromEntries(Object.entries(paths).toSorted(([a], [b]) => (a < b ? -1 : 1))),
    components: {
      schemas: { ...schemas.components, Error: error },
      responses: {
        ClientError: {
          description: "The request can't be carried out as it is; `details` say why. 429 says when to come back",
          headers: { "Retry-After": { $ref: "#/components/headers/RetryAfter" } },
          content: jsonContent({ $ref: "#/components/schemas/Error" }),
        },
        ServerError: {
          description: "The server failed. 503 says when to come back",
          headers: { "Retry-After": { $ref: "#/components/headers/RetryAfter" } },
          content: jsonContent({ $ref: "#/components/schemas/Error" }),
        },
      },
      headers: {
        RetryAfter: { description: "Seconds after which the same request may succeed", schema: { type: "integer" } },
      },
    },
  };
}

/** `/tasks/{task_id=*}/x` as `/tasks/{taskId}/x`. */
function documentPath({ template, call }: Route): string {
  return template.text.replaceAll(
    /\{([\w.]+)(?:=[^{}]*)?\}/g,
    (_, fieldPath: string) => `{${jsonPath(fieldsAt(call.method.input, fieldPath) ?? [])}}`,
  );
}

function jsonPath(fields: readonly DescField[]): string {
  return fields.map(({ jsonName }) => jsonName).join(".");
}

function operationOf(route: Route, schemas: OpenApiSchemas): JsonObject {
  const { call, template, body, isAdded } = route;
  const { method } = call;
  const inPath = template.variables.map(({ fieldPath }) => fieldsAt(method.input, fieldPath) ?? []);
  const bound = new Set(inPath.map(jsonPath));
  const isStream = call.kind === "server_streaming";
  const variant = `${isAdded ? "ByPost" : ""}${bound.has("tenant") ? "WithTenant" : ""}`;
  const query =
    body === "whole"
      ? []
      : queryFields(method.input, []).filter((fields) => !bound.has(jsonPath(fields)) && fields[0] !== body);
  const parameters = [
    ...inPath.map((fields) => parameterOf(fields, "path", schemas)),
    ...query.map((fields) => parameterOf(fields, "query", schemas)),
    ...(method.parent.typeName === a2aService ? a2aHeaders(isStream) : []),
  ];
  const requestBody = bodyOf(route, bound, schemas);
  return {
    operationId: `${method.name}${variant}`,
    summary: wordsOf(method.name),
    ...descriptionOf(method),
    tags: [method.parent.name],
    ...(parameters.length > 0 && { parameters }),
    ...(requestBody !== undefined && { requestBody }),
    responses: {
      "200": isStream
        ? streamOf(method.output, schemas)
        : { description: method.output.name, content: jsonContent(schemas.message(method.output)) },
      "4XX": { $ref: "#/components/responses/ClientError" },
      "5XX": { $ref: "#/components/responses/ServerError" },
    },
  };
}

/** `SendStreamingMessage` as `Send streaming message`. */
function wordsOf(name: string): string {
  const words = name.replaceAll(/(?<=[a-z])[A-Z]/g, (letter) => ` ${letter.toLowerCase()}`);
  return `${words.charAt(0)}${words.slice(1)}`;
}

/** The fields that a query can name, each with the fields that lead to it. */
function queryFields(desc: DescMessage, way: readonly DescField[]): readonly (readonly DescField[])[] {
  return desc.fields.flatMap((field) => {
    const fields = [...way, field];
    if (isTextInQuery(field)) return [fields];
    return field.fieldKind === "message" &&
      field.message.file.proto.package !== "google.protobuf" &&
      fields.length < queryDepthMax
      ? queryFields(field.message, fields)
      : [];
  });
}

/** The service parameters of the contract (R172). Our own services have neither versions nor extensions. */
function a2aHeaders(isStream: boolean): readonly JsonObject[] {
  const header = (name: string, description: string, schema: JsonObject, required = false) => ({
    name,
    in: "header",
    description,
    required,
    schema,
  });
  const text = { type: "string" };
  return [
    header(
      versionParameter,
      "The version of A2A that the client speaks; a query parameter of this name does as well",
      { ...text, const: servedVersion },
      true,
    ),
    header(
      extensionsParameter,
      "URIs of the extensions that the client speaks, with commas between; the answer lists those that are active",
      text,
    ),
    ...(isStream
      ? [header(cursorParameter, `Goes on behind this event, where the extension ${eventSequenceUri} is active`, text)]
      : []),
  ];
}

function parameterOf(fields: readonly DescField[], place: "path" | "query", schemas: OpenApiSchemas): JsonObject {
  const field = fields.at(-1);
  const { description, ...schema } = field === undefined ? {} : schemas.field(field);
  return {
    name: jsonPath(fields),
    in: place,
    ...(description !== undefined && { description }),
    ...(place === "path" && { required: true }),
    schema,
  };
}

/** The body without the fields that the path has. It is optional if no REQUIRED field remains. */
function bodyOf({ call, body }: Route, bound: ReadonlySet<string>, schemas: OpenApiSchemas): JsonObject | undefined {
  const { input } = call.method;
  if (body === "none") return undefined;
  if (body !== "whole") return { content: jsonContent(schemas.field(body)) };
  const object = schemas.object(
    input,
    input.fields.filter(({ jsonName }) => !bound.has(jsonName)),
  );
  const schema = bound.size === 0 ? schemas.message(input) : object;
  return { required: "required" in object, content: jsonContent(schema) };
}

function jsonContent(schema: JsonObject): JsonObject {
  return Object.fromEntries(jsonTypes.map((type) => [type, { schema }]));
}

function streamOf(output: DescMessage, schemas: OpenApiSchemas): JsonObject {
  const schema = {
    type: "string",
    contentMediaType: "application/json",
    contentSchema: { oneOf: [schemas.message(output), { $ref: "#/components/schemas/Error" }] },
  };
  return {
    description:
      `Server-sent events. The data of each is a ${output.name} as one line of JSON; ` +
      `an event called "error" holds an Error and is the last one`,
    content: { [eventStreamType]: { schema } },
  };
}

/** The envelope of §11.6. */
function errorSchema(schemas: OpenApiSchemas): JsonObject {
  const typed = (desc: DescMessage): JsonObject => ({
    ...schemas.object(desc, desc.fields),
    properties: {
      "@type": { const: `type.googleapis.com/${desc.typeName}` },
      ...(schemas.object(desc, desc.fields).properties as JsonObject),
    },
    required: ["@type"],
  });
  const details = { type: "array", items: { anyOf: [typed(ErrorInfoSchema), typed(BadRequestSchema)] } };
  const properties = {
    code: { type: "integer", description: "The status of HTTP" },
    status: { type: "string", description: "gRPC's name of the code" },
    message: { type: "string" },
    details,
  };
  return {
    title: "Error",
    type: "object",
    properties: { error: { type: "object", properties, required: Object.keys(properties) } },
    required: ["error"],
  };
}
