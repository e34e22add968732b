import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { goClient } from "../../go/client-binary.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** The client of the A2A project's own SDK for Go against the real server, which it finds by the server's card. */

const run = promisify(execFile);
const limitMs = 360_000;
let server: ServeProcess;
let client: string;

beforeAll(async () => {
  [server, client] = await Promise.all([startServer(["--storage", "memory:"]), goClient()]);
}, limitMs);
afterAll(() => server?.end("SIGKILL"));

test.each([
  { binding: "GRPC", invalid: "ErrInvalidRequest" },
  // Over HTTP+JSON the SDK reads the reasons of A2A's own errors alone, and no status.
  { binding: "HTTP+JSON", invalid: "ErrInternalError" },
  { binding: "JSONRPC", invalid: "ErrInvalidParams" },
])("a2a-go sends, streams, gets, lists, answers, cancels, subscribes and is refused over $binding", async ({
  binding,
  invalid,
}) => {
  const { stdout } = await run(client, [server.url.origin, binding], { timeout: 60_000 });
  expect(JSON.parse(stdout)).toEqual({
    send: ["task TASK_STATE_COMPLETED", "hello"],
    reply: "message hi",
    stream: [
      expect.stringMatching(/^task TASK_STATE_(SUBMITTED|WORKING)$/),
      ...Array(3).fill("artifact"),
      "status TASK_STATE_COMPLETED",
    ],
    get: ["task TASK_STATE_COMPLETED", true, "hello"],
    list: [true, 1, 1, ""],
    "multi-turn": ["task TASK_STATE_INPUT_REQUIRED", "task TASK_STATE_COMPLETED"],
    cancel: "task TASK_STATE_CANCELED",
    subscribe: [expect.stringMatching(/^task TASK_STATE_(SUBMITTED|WORKING)$/), "status TASK_STATE_COMPLETED", true],
    errors: {
      "unknown task": "ErrTaskNotFound",
      "canceled twice": "ErrTaskNotCancelable",
      "message to an ended task": "ErrUnsupportedOperation",
      "stream to an ended task": "ErrUnsupportedOperation",
      "subscription to an ended task": "ErrUnsupportedOperation",
      "subscription to no task": "ErrTaskNotFound",
      "media type": "ErrUnsupportedContentType",
      "page token": invalid,
      "page token, the text": expect.stringContaining("page_token"),
      push: "ErrPushNotificationNotSupported",
    },
  });
});
