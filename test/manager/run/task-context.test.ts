import { create } from "@bufbuild/protobuf";
import { describe, expect, it } from "vitest";
import { ArtifactSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { artifact, inputRequired } from "../../../src/agent/processor-events.ts";
import { settle } from "../../runtime/manual-clock.ts";
import {
  begun,
  callerOf,
  expectRefused,
  kindsOf,
  logOf,
  message,
  reading,
  request,
  ScriptedAgent,
  sent,
  setup,
  silent,
  stateOf,
} from "../fixtures.ts";

const text = (value: string) => [{ content: { case: "text" as const, value } }];

describe("a context", () => {
  it("gives message, caller and options as they came", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const caller = callerOf("t", "o", { role: "admin" });
    const call = manager.sendMessage(
      request(message("hi", { metadata: { a: 1 } }), {
        metadata: { trace: "x" },
        configuration: { acceptedOutputModes: ["text/html"], historyLength: 3 },
      }),
      caller,
    );
    const { context } = await scripted.turn();
    expect(context.options).toEqual({
      blocking: true,
      streaming: false,
      historyLength: 3,
      acceptedOutputModes: ["text/html"],
      metadata: { trace: "x" },
    });
    expect([
      context.caller.claims,
      context.caller.headers.get("x-owner"),
      context.message.metadata,
      context.fence,
      context.attempt,
    ]).toEqual([{ role: "admin" }, "o", { a: 1 }, 1n, 1]);
    scripted.turns[0]?.return();
    await call;
    const stream = reading(manager.sendStreamingMessage(request("hi")));
    expect((await scripted.turn(1)).context.options).toMatchObject({ blocking: false, streaming: true });
    scripted.turns[1]?.return();
    await stream.ended;
  });

  it("runs a step once a turn, also when two ask at once, and keeps its result; one that failed runs again", async () => {
    const results: unknown[] = [];
    let runs = 0;
    const { manager, faulty } = await setup(
      silent(async (context) => {
        const step = () => context.step("s", async () => ({ run: ++runs, none: null }));
        results.push(...(await Promise.all([step(), step()])), await step());
        results.push(
          await context.step("f", async () => Promise.reject(new Error("once"))).catch((error: Error) => error.message),
          await context.step("f", async () => "twice"),
        );
        results.push(await context.step("null", async () => null), await context.step("null", async () => null));
      }),
    );
    const { id } = await sent(manager, "go");
    const kept = { run: 1, none: null };
    expect(results).toEqual([kept, kept, kept, "once", "twice", null, null]);
    expect(kindsOf(await logOf(faulty, id)).filter((kind) => kind === "stepResult")).toHaveLength(3);
  });

  it("says when all is durable, and shows what was yielded before it is", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const { id } = await begun(manager, "go");
    const { context, ...turn } = await scripted.turn();
    await settle();
    faulty.fail({ methods: "appendTask", fault: "held", times: 1 });
    await scripted.turns[0]?.yield(artifact(create(ArtifactSchema, { artifactId: "a", parts: text("x") })));
    expect((await context.task()).artifacts).toHaveLength(1);
    expect((await manager.getTask(id)).task.artifacts).toHaveLength(0);
    const durable = context.committed();
    await settle();
    faulty.release();
    const sequence = await durable;
    expect([
      (await manager.getTask(id)).task.artifacts.length,
      (await manager.getTaskAt(id, 1n)).head,
      typeof turn,
    ]).toEqual([1, sequence, "object"]);
    scripted.turns[0]?.return();
  });

  it("reaches other tasks of the same caller, and cleans those of its conversation that have ended", async () => {
    const scripted = new ScriptedAgent();
    const { manager } = await setup(scripted);
    const [same, other] = [sent(manager, message("a", { contextId: "c" })), sent(manager, "b")];
    (await scripted.turn(0)).return();
    (await scripted.turn(1)).return();
    const foreign = begun(manager, "f", callerOf("t", "else"));
    const ids = [(await same).id, (await other).id, (await foreign).id] as const;
    await begun(manager, message("c", { contextId: "c" }));
    const { context } = await scripted.turn(3);
    expect(stateOf((await context.getTask(ids[0])).task)).toBe("COMPLETED");
    await expectRefused(context.getTask(ids[2]), "TASK_NOT_FOUND");
    await expectRefused(
      Promise.resolve(context.subscribeTask(ids[0])[Symbol.asyncIterator]().next()),
      "UNSUPPORTED_OPERATION",
    );
    await context.cleanTask(ids[0]);
    await context.cleanTask(ids[1]);
    await context.cleanTask(ids[2]);
    await expectRefused(context.cleanTask(context.taskId), "STILL_RUNNING");
    expect(
      await Promise.all([
        manager.taskExists(ids[0]),
        manager.taskExists(ids[1]),
        manager.taskExists(ids[2], callerOf("t", "else")),
      ]),
    ).toEqual([false, true, true]);
    scripted.turns[2]?.return();
    scripted.turns[3]?.return();
  });

  it("is of use during its turn only: what the agent left going can't write into a later one", async () => {
    const scripted = new ScriptedAgent();
    const { manager, faulty } = await setup(scripted);
    const first = sent(manager, "one");
    const turn = await scripted.turn();
    const slow = Promise.withResolvers<number>();
    const begunBefore = turn.context.step("slow", () => slow.promise);
    await turn.yield(inputRequired("?"));
    turn.return();
    const { id } = await first;
    await settle();
    const before = await logOf(faulty, id);
    await expectRefused(
      turn.context.step("late", async () => 1),
      "UNSUPPORTED_OPERATION",
    );
    expect(await logOf(faulty, id)).toEqual(before);
    const second = sent(manager, message("two", { taskId: id }));
    const next = await scripted.turn(1);
    slow.resolve(1);
    await expectRefused(begunBefore, "UNSUPPORTED_OPERATION");
    expect(await next.context.step("slow", async () => 2)).toBe(2);
    next.return();
    expect(stateOf(await second)).toBe("COMPLETED");
  });
});
