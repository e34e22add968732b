import { create, type MessageInitShape } from "@bufbuild/protobuf";
import { describe, expect, test } from "vitest";
import {
  AgentCardSchema,
  ListTasksResponseSchema,
  PartSchema,
  SendMessageConfigurationSchema,
  TaskSchema,
  TaskState,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { readJson } from "../../../src/transport/proto-json/read-json.ts";
import { toA2AJson, writeJson } from "../../../src/transport/proto-json/write-json.ts";
import { RequiredSchema } from "../test-protos.ts";

describe("writing", () => {
  test("an empty list of tasks has all that is REQUIRED", () => {
    expect(toA2AJson(ListTasksResponseSchema, create(ListTasksResponseSchema))).toEqual({
      tasks: [],
      nextPageToken: "",
      pageSize: 0,
      totalSize: 0,
    });
  });

  test("a task has nothing that isn't set", () => {
    const task = create(TaskSchema, { id: "t", status: { state: TaskState.WORKING } });
    expect(toA2AJson(TaskSchema, task)).toEqual({ id: "t", status: { state: "TASK_STATE_WORKING" } });
  });

  test("a card keeps its empty REQUIRED texts, at every depth", () => {
    const card = create(AgentCardSchema, { name: "n", skills: [{ id: "s" }], capabilities: {} });
    const json = toA2AJson(AgentCardSchema, card) as Record<string, unknown>;
    expect(json).toMatchObject({
      description: "",
      version: "",
      defaultInputModes: [],
      skills: [{ id: "s", name: "", description: "", tags: [] }],
      capabilities: {},
    });
    expect("documentationUrl" in json).toBe(false);
  });

  test("what is REQUIRED in the values of a map", () => {
    const card = create(AgentCardSchema, {
      securitySchemes: { key: { scheme: { case: "apiKeySecurityScheme", value: { name: "x-key" } } } },
    });
    expect(toA2AJson(AgentCardSchema, card)).toMatchObject({
      securitySchemes: { key: { apiKeySecurityScheme: { name: "x-key", location: "" } } },
    });
  });

  test("every kind of field that is REQUIRED", () => {
    const zeros = { text: "", number: 0, long: "0", yes: false, colour: "COLOUR_UNSPECIFIED", list: [], raw: "" };
    expect(toA2AJson(RequiredSchema, create(RequiredSchema))).toEqual(zeros);
    const nested = readJson(RequiredSchema, { inner: { inners: [{}] } });
    expect(toA2AJson(RequiredSchema, nested)).toEqual({ ...zeros, inner: { ...zeros, inners: [zeros] } });
  });

  test("a zero that was set is told from one that wasn't", () => {
    const config = (init: MessageInitShape<typeof SendMessageConfigurationSchema>) =>
      writeJson(SendMessageConfigurationSchema, create(SendMessageConfigurationSchema, init));
    expect([config({}), config({ historyLength: 0 })]).toEqual(["{}", '{"historyLength":0}']);
  });

  test("an empty text and a null are contents", () => {
    expect(writeJson(PartSchema, create(PartSchema, { content: { case: "text", value: "" } }))).toBe('{"text":""}');
    expect(writeJson(PartSchema, readJson(PartSchema, { data: null }))).toBe('{"data":null}');
  });

  test("times are cut to milliseconds, in UTC", () => {
    const times = [
      "2026-01-02T03:04:05Z",
      "2026-01-02T03:04:05.1Z",
      "2026-01-02T03:04:05.123999999Z",
      "2026-01-02T03:04:05+02:00",
    ];
    expect((toA2AJson(RequiredSchema, readJson(RequiredSchema, { times })) as { times: unknown }).times).toEqual([
      "2026-01-02T03:04:05.000Z",
      "2026-01-02T03:04:05.100Z",
      "2026-01-02T03:04:05.123Z",
      "2026-01-02T01:04:05.000Z",
    ]);
  });

  test("a value of an enum that this version doesn't know is its number", () => {
    const task = create(TaskSchema, { id: "t", status: { state: 99 as TaskState } });
    expect(toA2AJson(TaskSchema, task)).toMatchObject({ status: { state: 99 } });
  });
});
