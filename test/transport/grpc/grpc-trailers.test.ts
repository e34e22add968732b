import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { createServiceImplSpec, type HandlerContext, type ServiceImpl } from "@connectrpc/connect";
import { Client, credentials, type Metadata } from "@grpc/grpc-js";
import { afterEach, describe, expect, test } from "vitest";
import {
  TaskExistsRequestSchema,
  TaskExistsResponseSchema,
  TaskManagerService,
  WatchTaskRequestSchema,
  WatchTaskResponseSchema,
} from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import { TaskError } from "../../../src/domain/task-error.ts";
import { grpcHandler } from "../../../src/transport/grpc/grpc-handler.ts";
import { firstOf } from "../../../src/transport/listener/request-handler.ts";
import { testSettings } from "../call-settings.ts";
import { clients, closeAll, echo, open } from "../listener/fixtures.ts";

afterEach(closeAll);

const path = (method: string) => `/${TaskManagerService.typeName}/${method}`;

/** Sets a header and trailers; the id "none" is not found. */
function mark({ responseHeader, responseTrailer }: HandlerContext, taskId: string): void {
  responseHeader.set("x-head", "1");
  responseTrailer.set("x-tail", "a: u");
  responseTrailer.set("x-tail-bin", Buffer.from([0, 255]).toString("base64"));
  if (taskId === "none") throw new TaskError("TASK_NOT_FOUND", "no such task");
}

const service: Partial<ServiceImpl<typeof TaskManagerService>> = {
  taskExists({ taskId }, context) {
    mark(context, taskId);
    return { exists: true };
  },
  async *watchTask({ taskId, afterSequence }, context) {
    for (let sequence = 1n; sequence <= (afterSequence ?? 0n); sequence++) yield { sequence };
    mark(context, taskId);
  },
};

async function client(): Promise<Client> {
  const settings = testSettings({ bindings: new Set(["grpc"] as const) });
  const handler = grpcHandler([createServiceImplSpec(TaskManagerService, service)], settings);
  const { number } = await open({ handler: firstOf([handler], echo) });
  const made = new Client(`127.0.0.1:${number}`, credentials.createInsecure());
  clients.push(() => made.close());
  return made;
}

interface Ended {
  readonly code: number;
  readonly details: string;
  readonly metadata: Metadata;
}

async function exists(taskId: string): Promise<Ended> {
  const made = await client();
  return new Promise((resolve) => {
    made
      .makeUnaryRequest(
        path("TaskExists"),
        (request: string) =>
          Buffer.from(toBinary(TaskExistsRequestSchema, create(TaskExistsRequestSchema, { taskId: request }))),
        (bytes: Buffer) => fromBinary(TaskExistsResponseSchema, bytes),
        taskId,
        () => undefined,
      )
      .on("status", resolve);
  });
}

async function watch(taskId: string, events: number): Promise<Ended & { readonly events: number }> {
  const made = await client();
  return new Promise((resolve) => {
    let seen = 0;
    made
      .makeServerStreamRequest(
        path("WatchTask"),
        (request: string) =>
          Buffer.from(
            toBinary(
              WatchTaskRequestSchema,
              create(WatchTaskRequestSchema, { taskId: request, afterSequence: BigInt(events) }),
            ),
          ),
        (bytes: Buffer) => fromBinary(WatchTaskResponseSchema, bytes),
        taskId,
      )
      .on("data", () => seen++)
      .on("error", () => undefined)
      .on("status", (status: Ended) => resolve({ ...status, events: seen }));
  });
}

const trailers = { "x-tail": ["a: u"], "x-tail-bin": [Buffer.from([0, 255])] };

function trailersOf({ metadata }: Ended): object {
  return { "x-tail": metadata.get("x-tail"), "x-tail-bin": metadata.get("x-tail-bin") };
}

describe("trailers that a method sets reach a client of grpc-js", () => {
  test("behind a unary answer", async () => {
    const ended = await exists("some");
    expect([ended.code, trailersOf(ended)]).toEqual([0, trailers]);
  });

  test("with the error of a unary call", async () => {
    const ended = await exists("none");
    expect([ended.code, ended.details, trailersOf(ended)]).toEqual([5, "no such task", trailers]);
  });

  test.each([0, 2])("behind a stream of %d events", async (events) => {
    const ended = await watch("some", events);
    expect([ended.code, ended.events, trailersOf(ended)]).toEqual([0, events, trailers]);
  });

  test.each([0, 2])("with the error of a stream after %d events", async (events) => {
    const ended = await watch("none", events);
    expect([ended.code, ended.details, ended.events, trailersOf(ended)]).toEqual([5, "no such task", events, trailers]);
  });
});
