import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { pythonPackages } from "../../python/packages.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/**
 * The A2A project's own SDK for Python against the real server: of version 1.0 over each binding, found by the server's
 * card, and the last one of version 0.3.
 */

const run = promisify(execFile);
let server: ServeProcess;

beforeAll(async () => {
  server = await startServer(["--storage", "memory:"]);
});
afterAll(() => server.end("SIGKILL"));

async function scenario(script: string, requirements: string, ...args: readonly string[]): Promise<unknown> {
  const env = { ...process.env, PYTHONPATH: await pythonPackages(requirements) };
  const { stdout } = await run("python3", [join(import.meta.dirname, "../../python", script), ...args], {
    env,
    timeout: 60_000,
  });
  return JSON.parse(stdout);
}

const limitMs = 240_000;

test.each([
  "GRPC",
  "HTTP+JSON",
  "JSONRPC",
])("a2a-sdk sends, streams, gets, lists, answers, cancels, subscribes and is refused over %s", {
  timeout: limitMs,
}, async (binding) => {
  expect(await scenario("a2a_sdk_client.py", "a2a-sdk.txt", server.url.origin, binding)).toEqual({
    send: ["task TASK_STATE_COMPLETED", "hello"],
    reply: ["message", "hi"],
    stream: [
      expect.stringMatching(/^task TASK_STATE_(SUBMITTED|WORKING)$/),
      ...Array(3).fill("artifact_update"),
      "status_update TASK_STATE_COMPLETED",
    ],
    get: [true, ["hello"]],
    list: [[true], 1, 1, ""],
    "multi-turn": ["task TASK_STATE_INPUT_REQUIRED", "task TASK_STATE_COMPLETED"],
    cancel: "TASK_STATE_CANCELED",
    subscribe: [
      expect.stringMatching(/^task TASK_STATE_(SUBMITTED|WORKING)$/),
      "status_update TASK_STATE_COMPLETED",
      true,
    ],
    errors: {
      "unknown task": "TaskNotFoundError",
      "canceled twice": "TaskNotCancelableError",
      "message to an ended task": "UnsupportedOperationError",
      "stream to an ended task": "UnsupportedOperationError",
      "subscription to an ended task": "UnsupportedOperationError",
      "media type": "ContentTypeNotSupportedError",
      push: "PushNotificationNotSupportedError",
    },
  });
});

test("a2a-sdk of version 0.3 sends, streams, gets, answers, cancels, resubscribes and is refused over JSON-RPC", {
  timeout: limitMs,
}, async () => {
  expect(await scenario("a2a_sdk_v03_client.py", "a2a-sdk-v03.txt", server.url.origin)).toEqual({
    send: ["task", "completed", "hello"],
    reply: ["message", "agent", "hi"],
    stream: [
      expect.stringMatching(/^task (submitted|working)$/),
      ...Array(3).fill("artifact-update"),
      "status-update completed final",
    ],
    get: [
      { kind: "text", text: "hello" },
      { kind: "data", data: { n: [1, null] }, metadata: { m: true } },
    ],
    "multi-turn": ["input-required", "what?", "completed"],
    "asked stream": [expect.stringMatching(/^task (submitted|working)$/), "status-update input-required final"],
    cancel: "canceled",
    resubscribe: [true, "status-update completed final"],
    errors: {
      "unknown task": ["A2AClientJSONRPCError", -32001],
      "canceled twice": ["A2AClientJSONRPCError", -32002],
      "message to an ended task": ["A2AClientJSONRPCError", -32004],
      "media type": ["A2AClientJSONRPCError", -32005],
      push: ["A2AClientJSONRPCError", -32003],
    },
  });
});
