import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startServer } from "../serve-process.ts";

const example = join(import.meta.dirname, "../../../examples/clients/grpc-js.ts");

test("the example client, made of grpc-js and the .proto files alone, does all it shows against the real server", async () => {
  const server = await startServer(["--storage", "memory:"]);
  try {
    const { stdout } = await promisify(execFile)(process.execPath, [example, server.url.host]);
    const told = Object.fromEntries(
      stdout
        .trim()
        .split("\n")
        .map((line) => [line.slice(0, line.indexOf(":")), JSON.parse(line.slice(line.indexOf(":") + 1))]),
    );
    expect(told).toEqual({
      sent: { state: "TASK_STATE_COMPLETED", text: "hello" },
      streamed: [
        "task",
        "TASK_STATE_WORKING",
        "artifactUpdate",
        "artifactUpdate",
        "artifactUpdate",
        "TASK_STATE_COMPLETED",
      ],
      got: { state: "TASK_STATE_INPUT_REQUIRED", question: "which one?" },
      subscribed: ["TASK_STATE_INPUT_REQUIRED", "TASK_STATE_WORKING", "artifact", "TASK_STATE_COMPLETED"],
      watched: { increasing: true, events: 6 },
      refused: {
        code: "FAILED_PRECONDITION",
        text: 'Task "ID" has ended as TASK_STATE_COMPLETED',
        reason: "TASK_NOT_CANCELABLE",
        domain: "a2a-protocol.org",
      },
    });
  } finally {
    await server.end("SIGKILL");
  }
});
