import { create, type MessageInitShape } from "@bufbuild/protobuf";
import {
  CleanupExpiredConversationsRequestSchema,
  ListConversationsRequestSchema,
  ListMessagesRequestSchema,
} from "../../gen/taskmanager/v1/conversation_pb.ts";
import { completed, inputRequired, textOf } from "../../src/agent/processor-events.ts";
import type { Scope } from "../../src/domain/scope.ts";
import type { ManagerOptions } from "../../src/manager/options.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import { ManualClock } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import { agent, callerOf, message, request, setup } from "./fixtures.ts";

export const alice: Scope = { tenant: "t", owner: "alice" };
export const caller = callerOf("t", "alice");

/**
 * Answers "bare …" without a task, asks at "ask …", completes all else with an echo. Time passes for storage and
 * manager alike.
 */
export async function talk(options: ManagerOptions = {}, maxHistoryLength = 100) {
  const processor = agent(
    async function* ({ message: { parts } }) {
      const text = textOf({ parts });
      yield text.startsWith("ask") ? inputRequired(`${text}?`) : completed(`re ${text}`);
    },
    {
      answerMessage: async ({ message: { parts } }) =>
        textOf({ parts }).startsWith("bare")
          ? { parts: [{ content: { case: "text", value: `re ${textOf({ parts })}` } }] }
          : undefined,
    },
  );
  const clock = new ManualClock();
  const faulty = new FaultyStorage(createMemoryStorage({ maxHistoryLength }, clock));
  const all = await setup(processor, { options, faulty, clock });
  const pass = (ms: number) => clock.advance(ms);
  const { conversations } = all.manager;
  const list = (init: MessageInitShape<typeof ListConversationsRequestSchema> = {}) =>
    conversations.list(create(ListConversationsRequestSchema, init), alice);
  const messages = (contextId: string, init: MessageInitShape<typeof ListMessagesRequestSchema> = {}) =>
    conversations.listMessages(create(ListMessagesRequestSchema, { contextId, ...init }), alice);
  const say = async (contextId: string, ...texts: string[]) => {
    for (const text of texts) {
      await all.manager.sendMessage(request(message(text, { contextId })), caller);
      await pass(1);
    }
  };
  const cleanup = (maxAgeMs?: bigint) =>
    conversations.cleanup(
      create(CleanupExpiredConversationsRequestSchema, maxAgeMs === undefined ? {} : { maxAgeMs }),
      alice,
    );
  return { ...all, conversations, pass, list, messages, say, cleanup };
}
