import { writeSync } from "node:fs";
import { createSqliteStorage } from "../../../src/storage/sqlite/storage.ts";
import { creation, progress, taskKey } from "./fixtures.ts";

/**
 * Appends to 16 tasks until it is killed, and says on its output, a line each, what was acknowledged: task and head.
 */
const [file] = process.argv.slice(2);
if (file === undefined) {
  throw new Error("Usage: sqlite-crash-child.ts FILE");
}
const storage = await createSqliteStorage(file);
await Promise.all(
  Array.from({ length: 16 }, async (_, i) => {
    const taskId = `task-${i}`;
    for (let head = 1; ; head++) {
      const entry = new Uint8Array(100 + ((i * 7919 + head * 104_729) % 20_000));
      const { outcome } = await storage.appendTask(
        taskKey(taskId),
        head === 1 ? creation(`context-${i}`, entry) : progress(head, entry),
      );
      if (outcome !== "committed") {
        throw new Error(`Append ${head} of ${taskId} was ${outcome}`);
      }
      acknowledge(`${taskId} ${head}\n`);
    }
  }),
);

/**
 * Not through a stream: what it buffers would be lost with the process. A pipe whose reader is slow is full for a
 * while.
 */
function acknowledge(line: string): void {
  for (;;) {
    try {
      // A line is far below what a pipe takes in one piece, so it is written whole or not at all.
      writeSync(1, line);
      return;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EAGAIN") {
        throw error;
      }
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 1);
    }
  }
}
