import { toJson } from "@bufbuild/protobuf";
import { expect, it } from "vitest";
import { ArtifactSchema, MessageSchema } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { data, file, text } from "../../src/agent/parts.ts";
import { artifact, completed, textOf, usage } from "../../src/agent/processor-events.ts";
import type { ProcessorEvent } from "../../src/domain/processor-event.ts";
import { Role, roleNames, stateNames, TaskState } from "../../src/index.ts";
import { agent, answering, collected, messageIn, request, sent, setup, statusText } from "../manager/fixtures.ts";

const bytes = Uint8Array.of(1, 2, 3);

it("parts of every kind, plain or made by a helper, reach the task as A2A has them", async () => {
  const { manager } = await setup(
    agent(async function* () {
      yield artifact(
        "All",
        text("plain"),
        text("# md", { mediaType: "text/markdown" }),
        data({ a: [1, null], b: undefined }),
        data(null),
        file(bytes, { name: "a.bin", mediaType: "application/octet-stream" }),
        file("https://example.com/a?b=c", { metadata: { size: 3 } }),
        file(new URL("https://example.com/")),
        { text: "" },
        { content: { case: "text", value: "generated" } },
      );
    }),
  );
  const [one] = (await sent(manager, "go")).artifacts;
  expect(one && toJson(ArtifactSchema, one)).toEqual({
    artifactId: "turn-1.1-All",
    name: "All",
    parts: [
      { text: "plain" },
      { text: "# md", mediaType: "text/markdown" },
      { data: { a: [1, null] } },
      { data: null },
      { raw: "AQID", filename: "a.bin", mediaType: "application/octet-stream" },
      { url: "https://example.com/a?b=c", metadata: { size: 3 } },
      { url: "https://example.com/" },
      { text: "" },
      { text: "generated" },
    ],
  });
});

it("a plain part is accepted in a status, and in an answer without a task", async () => {
  const status: ProcessorEvent = {
    statusUpdate: { state: TaskState.COMPLETED, message: { parts: [{ text: "done" }] } },
  };
  const { manager } = await setup(
    agent(async function* () {
      yield status;
    }),
  );
  expect(statusText(await sent(manager, "go"))).toBe("done");
  const quick = await setup(answering(async () => ({ parts: [{ text: "hi" }, { data: { a: 1 } }] })));
  const answer = messageIn(await quick.manager.sendMessage(request("hello")));
  expect(toJson(MessageSchema, answer)).toMatchObject({
    role: "ROLE_AGENT",
    parts: [{ text: "hi" }, { data: { a: 1 } }],
  });
});

it.each<[string, object, string]>([
  ["two contents", { text: "x", url: "https://example.com/" }, "a part has one of text, data, raw and url, not 2"],
  ["data that JSON can't hold", { data: { when: new Date(0) } }, "when is an object of the class Date"],
  ["no content", {}, "artifact.parts[0].content"],
])("a part with %s is the agent's fault, and is named", async (_, part, why) => {
  let refused: unknown;
  const { manager } = await setup(
    agent(async function* () {
      try {
        yield { artifactUpdate: { artifact: { parts: [part] } } };
      } catch (error) {
        refused = error;
      }
      yield completed();
    }),
  );
  await sent(manager, "go");
  expect(refused).toMatchObject({ reason: "INVALID_AGENT_RESPONSE" });
  expect(String(refused)).toContain(why);
});

it("a helper refuses at once what can't be a part", () => {
  expect(() => data({ a: Number.NaN })).toThrow("holds NaN or an infinity");
  expect(() => file("not/absolute")).toThrow(TypeError);
});

it("textOf reads plain parts as well as generated ones", () => {
  expect(textOf({ parts: [text("a"), data(1), { content: { case: "text", value: "b" } }] })).toBe("a\nb");
  expect(textOf({})).toBe("");
});

it("usage is metadata of the event that it is given to, for the readers of its stream", async () => {
  const { manager } = await setup(
    agent(async function* () {
      yield completed("done", usage({ input: 12, output: 3, model: "m" }));
    }),
  );
  const stream = manager.sendStreamingMessage(request("go"));
  const seen: unknown[] = [];
  for await (const { payload } of stream) if (payload.case === "statusUpdate") seen.push(payload.value.metadata);
  expect(seen).toEqual([undefined, { "urn:a2a-task-manager:usage:v1": { input: 12, output: 3, model: "m" } }]);
  expect(await collected(manager.watchTask(String((await sent(manager, "go")).id), 0n))).toContain(
    "status:COMPLETED(done)",
  );
});

it("states and roles have their names at the main entry", () => {
  expect([stateNames[TaskState.INPUT_REQUIRED], roleNames[Role.AGENT]]).toEqual([
    "TASK_STATE_INPUT_REQUIRED",
    "ROLE_AGENT",
  ]);
});
