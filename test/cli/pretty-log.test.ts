import { expect, it } from "vitest";
import { prettyLine } from "../../src/cli/pretty-log.ts";

it("a line of the log is shown with its fields, and an error with its frames and causes", () => {
  const err = { type: "Error", message: "broken", stack: "at a (b.ts:1:2)", cause: { type: "TypeError", code: "X" } };
  const line = JSON.stringify({ level: 30, time: 0, pid: 1, hostname: "h", taskId: "t-1", msg: "A turn failed", err });
  expect(prettyLine(line)).toBe(
    "00:00:00.000 info  A turn failed taskId=t-1\n    Error: broken\n      at a (b.ts:1:2)\n    TypeError code=X\n",
  );
});

it("what a client or an agent has chosen can't control the terminal", () => {
  const evil = "\u001b[2J\u001b]0;title\u0007\rx\ny";
  const err = { type: "Error", message: evil, stack: `at ${evil}` };
  const shown = prettyLine(JSON.stringify({ level: 50, time: 0, msg: evil, taskId: evil, err }));
  expect(shown.replaceAll("\n", "")).not.toMatch(/\p{Cc}/u);
});
