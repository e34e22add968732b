import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ListTasksRequestSchema, type SendMessageRequest } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { artifact, completed, inputRequired } from "../../../src/agent/processor-events.ts";
import type { TaskManager } from "../../../src/manager/task-manager.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { settle } from "../../runtime/manual-clock.ts";
import { FaultyStorage } from "../../storage/faulty-storage.ts";
import {
  agent,
  answering,
  brief,
  collected,
  expectRefused,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  taskIn,
} from "../fixtures.ts";

const chunk = (id: string) => artifact({ artifactId: id, parts: [{ content: { case: "text", value: id } }] });

/** Asks at the first message, answers the second one with three chunks; "all" makes three chunks at once. */
const asking = agent(async function* (context) {
  const { history } = await context.task();
  if (history.length === 1 && context.options.metadata === undefined) {
    yield chunk("a");
    yield inputRequired("more?");
    return;
  }
  for (const id of ["b", "c", "d"]) yield chunk(id);
  yield completed();
});

async function numbered(
  manager: TaskManager,
  asked: SendMessageRequest,
  after?: bigint,
): Promise<readonly (readonly [bigint, string])[]> {
  const stream = manager.sendStreamingMessage(asked, undefined, { after });
  const all: (readonly [bigint, string])[] = [];
  for await (const event of stream) all.push([stream.cursor, brief(event)]);
  return all;
}

describe("a message sent again with a cursor", () => {
  it("is answered from the log, right after the cursor, without the task first, though the task has ended", async () => {
    const { manager } = await setup(asking);
    const once = request(message("all"), { metadata: { all: true } });
    const whole = await numbered(manager, once);
    expect(whole.at(-1)?.[1]).toBe("status:COMPLETED");
    for (const [cursor] of whole)
      expect(await numbered(manager, once, cursor)).toEqual(whole.filter(([sequence]) => sequence > cursor));
    const all = await numbered(manager, once, 0n);
    expect([all[0], ...all.slice(-4)]).toEqual([[1n, "task:SUBMITTED"], ...whole.slice(-4)]);
  });

  it("goes on with what the task does later", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const once = request("go");
    const first = manager.sendStreamingMessage(once);
    const seen = reading(first);
    const turn = await scripted.turn();
    await turn.yield(chunk("a"));
    await settle();
    const cursor = first.cursor;
    await first.close();
    await seen.ended;
    await turn.yield(chunk("b"));
    const again = reading(manager.sendStreamingMessage(once, undefined, { after: cursor }));
    await turn.yield(chunk("c"));
    turn.return();
    await again.ended;
    expect(again.seen).toEqual(["artifact:b", "artifact:c", "status:COMPLETED"]);
  });

  it("goes on though its message has left the histories by now: they are trimmed, the task and the window are not", async () => {
    const { manager } = await setup(asking, {
      faulty: new FaultyStorage(createMemoryStorage({ maxHistoryLength: 1 })),
    });
    const once = request(message("one"));
    const asked = await numbered(manager, once);
    expect(await numbered(manager, once, asked[0]?.[0])).toEqual(asked.slice(1));
  });

  it("goes on though its id was used for another message since", async () => {
    const { manager } = await setup(asking);
    const once = request(message("one"));
    const asked = await numbered(manager, once);
    await collected(
      manager.sendStreamingMessage(request(message("two", { messageId: once.message?.messageId ?? "" }))),
    );
    expect(await numbered(manager, once, asked[0]?.[0])).toEqual(asked.slice(1));
  });

  it("at the question ends there, also where the agent said more after it", async () => {
    const { manager } = await setup(
      agent(async function* () {
        yield inputRequired("more?");
        yield chunk("late");
      }),
    );
    const once = request("go");
    const asked = await numbered(manager, once);
    expect(asked.at(-1)?.[1]).toBe("status:INPUT_REQUIRED(more?)");
    const { taskId } = await taskOfStream(manager, once);
    await expect.poll(async () => (await manager.getTask(taskId)).task.artifacts).toHaveLength(1);
    expect((await numbered(manager, once, asked.at(-1)?.[0])).map(([, event]) => event)).toEqual(["artifact:late"]);
  });

  it("above the head is refused and says where the head is", async () => {
    const { manager } = await setup(asking);
    const once = request("go");
    await collected(manager.sendStreamingMessage(once));
    const refused = collected(manager.sendStreamingMessage(once, undefined, { after: 1000n }));
    await expect(refused).rejects.toMatchObject({
      reason: "OUT_OF_RANGE",
      metadata: { head: expect.stringMatching(/^\d+$/) },
    });
  });

  it("is a repeat already while the first one is on its way in", async () => {
    const { manager } = await setup(asking);
    const once = request(message("all"), { metadata: { all: true } });
    const first = collected(manager.sendStreamingMessage(once));
    await expectRefused(collected(manager.sendStreamingMessage(once, undefined, { after: 1000n })), "OUT_OF_RANGE");
    expect((await first).at(-1)).toBe("status:COMPLETED");
  });

  it("ends where its stream would have ended: at the question, wherever the task is by now", async () => {
    const { manager } = await setup(asking);
    const first = request("one");
    const asked = await numbered(manager, first);
    const { taskId } = await taskOfStream(manager, first);
    await sent(manager, message("two", { taskId }));
    expect(await numbered(manager, first, asked[0]?.[0])).toEqual(asked.slice(1));
    // From there on it is about the second message.
    expect((await numbered(manager, first, asked.at(-1)?.[0])).at(-1)?.[1]).toBe("status:COMPLETED");
  });

  it("goes on from every place of a task of many turns, to the next question or the end, or to the end of the newest message's turn", async () => {
    const { manager } = await setup(
      agent(async function* (context) {
        const { history } = await context.task();
        for (const id of ["a", "b"]) yield chunk(`${id}${history.length}`);
        yield history.length < 5 ? inputRequired("more?") : completed();
      }),
    );
    const first = request("one");
    await collected(manager.sendStreamingMessage(first));
    const { taskId } = await taskOfStream(manager, first);
    const further = [request(message("two", { taskId })), request(message("three", { taskId }))];
    for (const each of further) await collected(manager.sendStreamingMessage(each));
    const whole: (readonly [bigint, string])[] = [];
    const watched = manager.watchTask(taskId, 0n);
    for await (const event of watched) whole.push([watched.cursor, brief(event)]);
    expect(whole.filter(([, event]) => event.startsWith("status:INPUT")).length).toBe(2);
    for (const each of [first, ...further]) {
      for (let cursor = 0n; cursor <= watched.cursor; cursor++) {
        const behind = whole.filter(([sequence]) => sequence > cursor);
        // Of the newest turn it is known where it began: what was asked before isn't its question.
        const end = behind.findIndex(([, event]) =>
          (each === further[1] ? /COMPLETED/ : /INPUT_REQUIRED|COMPLETED/).test(event),
        );
        expect(await numbered(manager, each, cursor)).toEqual(behind.slice(0, end + 1));
      }
    }
  });

  it("to a task: the stream of the second message doesn't end at the question before it", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const first = request("one");
    const opening = numbered(manager, first);
    const one = await scripted.turn();
    await one.yield(chunk("a"));
    await one.yield(inputRequired("more?"));
    one.return();
    const asked = await opening;
    const second = request(message("two", { taskId: one.context.taskId }));
    const stream = reading(manager.sendStreamingMessage(second));
    const two = await scripted.turn(1);
    await two.yield(chunk("b"));
    // Joined while its turn runs: then its own place in the log is known.
    // Behind the beginning of the turn that asked, so that the stream itself doesn't see whose question it is.
    const cursor = asked.find(([, event]) => event === "artifact:a")?.[0];
    const again = reading(manager.sendStreamingMessage(second, undefined, { after: cursor }));
    await two.yield(inputRequired("and?"));
    two.return();
    await Promise.all([stream.ended, again.ended]);
    expect(again.seen).toEqual([
      "status:INPUT_REQUIRED(more?)",
      "status:WORKING",
      "artifact:b",
      "status:INPUT_REQUIRED(and?)",
    ]);
  });
});

describe("a cursor with a message that is new", () => {
  it("is about no task: its stream begins with the task that it makes", async () => {
    const { manager } = await setup(asking);
    expect((await numbered(manager, request("never seen"), 1000n))[0]?.[1]).toMatch(/^task:/);
  });

  it("to a task that is there: what follows the cursor, and then what the message brings", async () => {
    const { manager } = await setup(asking);
    const asked = await numbered(manager, request("one"));
    const { task } = (await manager.listTasks(create(ListTasksRequestSchema))).tasks[0] ?? {};
    const followed = await numbered(manager, request(message("two", { taskId: task?.id ?? "" })), asked[1]?.[0]);
    expect(followed.map(([, event]) => event).slice(0, 2)).toEqual(["artifact:a", "status:INPUT_REQUIRED(more?)"]);
    expect(followed.at(-1)?.[1]).toBe("status:COMPLETED");
  });

  it("is refused above the head of that task, and then nothing is accepted", async () => {
    const { manager } = await setup(asking);
    const task = await sent(manager, "one");
    const refused = collected(
      manager.sendStreamingMessage(request(message("two", { taskId: task.id })), undefined, { after: 1000n }),
    );
    await expectRefused(refused, "OUT_OF_RANGE");
    expect((await manager.getTask(task.id)).task.history).toHaveLength(1);
  });

  it("is looked at only once the request is found in order", async () => {
    const { manager } = await setup(asking);
    await expect(
      collected(manager.sendStreamingMessage(request(message("x", { messageId: "" })), undefined, { after: 1n })),
    ).rejects.toMatchObject({ reason: "INVALID_REQUEST" });
    await expectRefused(
      collected(manager.sendStreamingMessage(request(message("x", { taskId: "nowhere" })), undefined, { after: 1n })),
      "TASK_NOT_FOUND",
    );
  });

  it("makes no difference to a bare answer", async () => {
    const { manager } = await setup(answering(async () => ({ parts: [{ content: { case: "text", value: "hi" } }] })));
    const once = request("hello");
    expect(await collected(manager.sendStreamingMessage(once, undefined, { after: 5n }))).toEqual(["message:hi"]);
    expect(await collected(manager.sendStreamingMessage(once, undefined, { after: 5n }))).toEqual(["message:hi"]);
  });
});

describe("the sequence of a task", () => {
  it("is known of every task that the manager gives, and is where a stream goes on", async () => {
    const { manager } = await setup(asking);
    const asked = await manager.sendMessage(request("one"));
    const { id } = taskIn(asked);
    const { sequence: head } = await manager.getTask(id);
    const [listed] = (await manager.listTasks(create(ListTasksRequestSchema))).tasks;
    const [shown] = (await manager.listTasks(create(ListTasksRequestSchema, { includeArtifacts: true }))).tasks;
    expect(head).toBeGreaterThan(1n);
    for (const each of [asked, listed, shown]) expect(each).toMatchObject({ task: { id }, sequence: head });
    expect((await manager.cancelTask(id)).sequence).toBeGreaterThan(head);
    expect(await collected(manager.subscribeToTask(id, head))).toEqual(["status:CANCELED"]);
  });
});

async function taskOfStream(manager: TaskManager, once: SendMessageRequest): Promise<{ readonly taskId: string }> {
  for await (const { payload } of manager.sendStreamingMessage(once))
    if (payload.case === "task") return { taskId: payload.value.id };
  throw new Error("No task came");
}
