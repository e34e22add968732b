import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { defaultHooks } from "../../../src/transport/calls/call-hooks.ts";
import { Exchange } from "../../../src/transport/calls/exchange.ts";
import type { HttpResponse } from "../../../src/transport/calls/response-writer.ts";
import type { NodeRequest } from "../../../src/transport/listener/request-handler.ts";
import { testSettings } from "../call-settings.ts";

const bytes = 1_000_000;

test("an answer that a library encodes counts three times its bytes, and once however often its task is asked for", () => {
  const hooks = defaultHooks();
  const { answers } = hooks.load;
  const open = () => {
    const request = { headers: {}, socket: new EventEmitter() } as unknown as NodeRequest;
    const response = new EventEmitter();
    const exchange = new Exchange(request, response as unknown as HttpResponse, testSettings({ hooks }), {
      encodesAlone: true,
    });
    return { exchange, response };
  };
  const [first, second] = [open(), open()];
  expect(first.exchange.share("task/1", bytes)).not.toBeInstanceOf(Promise);
  expect(first.exchange.share("task/1", bytes)).not.toBeInstanceOf(Promise);
  expect(answers.held).toBe(3 * bytes);
  expect(second.exchange.share("task/1", bytes)).not.toBeInstanceOf(Promise);
  expect(answers.held).toBe(6 * bytes);
  first.exchange.release();
  expect(answers.held).toBe(3 * bytes);
  second.response.emit("close");
  expect(answers.held).toBe(0);
});
