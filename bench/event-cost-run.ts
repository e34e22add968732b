// The process of `event-cost`: tasks one after the other through the manager, each read to its end by one reader.
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { create } from "@bufbuild/protobuf";
import { Role, SendMessageRequestSchema } from "../gen/lf/a2a/v1/a2a_pb.ts";
import { createTaskManager, type TaskManager } from "../src/manager/task-manager.ts";
import { openStorage } from "../src/open-storage.ts";
import { agent } from "./agent.ts";
import { carryOut, cpuUs, liveBytes } from "./child.ts";

const commands = {
  /** On a storage of its own, so that no cell pays for what another left behind. The heap is what it grew by with all tasks kept. */
  async run({ engine, command, events, tasks }: { readonly engine: string; readonly command: string; readonly events: number; readonly tasks: number }) {
    const folder = mkdtempSync(join(tmpdir(), "a2a-bench-"));
    try {
      await using storage = await openStorage(engine === "sqlite" ? `sqlite:${join(folder, "tasks.db")}` : "memory:");
      await using manager = await createTaskManager(agent, storage);
      await readTask(manager, command, 1);
      const bytesBefore = await liveBytes();
      const cpuBefore = cpuUs();
      const begin = performance.now();
      for (let task = 0; task < tasks; task++) await readTask(manager, command, events);
      const us = (performance.now() - begin) * 1000;
      const cpu = cpuUs() - cpuBefore;
      const bytes = (await liveBytes()) - bytesBefore;
      return { usPerEvent: us / (events * tasks), cpuUsPerEvent: cpu / (events * tasks), bytesPerEvent: bytes / (events * tasks) };
    } finally {
      rmSync(folder, { recursive: true });
    }
  },
};
export type EventCostCommands = typeof commands;
carryOut(commands);

async function readTask(manager: TaskManager, command: string, events: number): Promise<void> {
  const parts = [{ content: { case: "text" as const, value: `${command} ${events}` } }];
  const request = create(SendMessageRequestSchema, { message: { messageId: crypto.randomUUID(), role: Role.USER, parts } });
  let chunks = 0;
  for await (const { payload } of manager.sendStreamingMessage(request)) if (payload.case === "artifactUpdate") chunks++;
  if (chunks !== events) throw new Error(`A stream of ${events} chunks had ${chunks}`);
}
