import type { MessageProcessor } from "../agent/message-processor.ts";

/** The same agent under another card: what is served, let in and refused goes by that one. */
export function withCard(processor: MessageProcessor, card: NonNullable<MessageProcessor["card"]>): MessageProcessor {
  const { answerMessage, onLost, whileWorking } = processor;
  return {
    card,
    processMessage: (context) => processor.processMessage(context),
    ...(answerMessage && { answerMessage: (context) => answerMessage.call(processor, context) }),
    ...(onLost && { onLost }),
    ...(whileWorking && { whileWorking }),
  };
}
