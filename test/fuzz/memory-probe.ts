// Loaded into the server before its own code. Answers, over the channel to its parent, how much memory it holds after
// a collection.
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";

setFlagsFromString("--expose-gc");
const collect: () => void = runInNewContext("gc");

process.on("message", (id) => {
  // What the first collection finalizes only the second frees.
  collect();
  collect();
  const { heapUsed, external, rss } = process.memoryUsage();
  process.send?.({ id, heldBytes: heapUsed + external, rss });
});
// The channel must not keep a server alive that has stopped.
process.channel?.unref();
