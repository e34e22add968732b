// Loaded into the server before its own code. Answers its parent over their channel: what memory it holds after a
// collection, and what it has allocated and executed between two questions.
import { Session } from "node:inspector/promises";
import { getHeapStatistics, setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");
const session = new Session();
session.connect();
let allocatedBefore = 0;

type Question = "memory" | "begin allocations" | "end allocations" | "begin steps" | "end steps";

async function answerTo(question: Question): Promise<object> {
  switch (question) {
    case "memory": {
      // What the first collection finalizes only the second frees.
      collect();
      collect();
      const { heapUsed, external, rss } = process.memoryUsage();
      return { heldBytes: heapUsed + external, rss };
    }
    case "begin allocations":
      allocatedBefore = allocated();
      return {};
    case "end allocations":
      return { bytes: allocated() - allocatedBefore };
    case "begin steps":
      await session.post("Profiler.enable");
      await session.post("Profiler.startPreciseCoverage", { callCount: true, detailed: true });
      // It counts from here.
      await session.post("Profiler.takePreciseCoverage");
      return {};
    case "end steps": {
      const { result } = await session.post("Profiler.takePreciseCoverage");
      // Each run of a function, of a branch and of a loop's body is one step.
      const ranges = result.flatMap(({ functions }) => functions.flatMap((each) => each.ranges));
      return { steps: ranges.reduce((sum, { count }) => sum + count, 0) };
    }
    default:
      return question satisfies never;
  }
}

/** All that was ever allocated on V8's heap. Buffers are outside of it. */
function allocated(): number {
  return (getHeapStatistics() as unknown as { readonly total_allocated_bytes: number }).total_allocated_bytes;
}

process.on("message", ({ id, question }: { readonly id: number; readonly question: Question }) => {
  void answerTo(question).then((answer) => process.send?.({ id, ...answer }));
});
// The channel must not keep a server alive that has stopped.
process.channel?.unref();
