import type { MessageProcessor, TaskContext } from "../agent/message-processor.ts";
import type { ProcessorEvent } from "../domain/processor-event.ts";

/** What is to be done after so many events of a turn; done once. */
export interface Act {
  readonly name: string;
  readonly after: number;
  run(context: TaskContext): Promise<void>;
}

/** What a test sees of a turn from within. Counts and acts go on over the attempts of the turn. */
export interface Watch {
  acts: Act[];
  /** Events that the task manager has taken. */
  count: number;
  /** What the agent threw last. */
  error: unknown;
}

/** The processor with every turn watched: after each event that was taken, the acts that are due are done. */
export function watchedProcessor(processor: MessageProcessor, watch: () => Watch): MessageProcessor {
  const { card, onLost, whileWorking } = processor;
  return {
    ...(card !== undefined && { card }),
    ...(onLost !== undefined && { onLost }),
    ...(whileWorking !== undefined && { whileWorking }),
    ...(processor.answerMessage !== undefined && {
      answerMessage: async (context) => {
        try {
          return await processor.answerMessage?.(context);
        } catch (error) {
          watch().error = error;
          throw error;
        }
      },
    }),
    processMessage: (context) => watched(processor, context, watch()),
  };
}

async function* watched(
  processor: MessageProcessor,
  context: TaskContext,
  watch: Watch,
): AsyncGenerator<ProcessorEvent> {
  await actsDue(watch, context);
  const iterator = processor.processMessage(context)[Symbol.asyncIterator]();
  try {
    let step = iterator.next();
    for (;;) {
      const result = await step;
      if (result.done) return;
      try {
        yield result.value;
      } catch (refused) {
        if (iterator.throw === undefined) throw refused;
        step = iterator.throw(refused);
        continue;
      }
      watch.count++;
      await actsDue(watch, context);
      step = iterator.next();
    }
  } catch (error) {
    watch.error = error;
    throw error;
  } finally {
    await iterator.return?.();
  }
}

async function actsDue(watch: Watch, context: TaskContext): Promise<void> {
  const due = watch.acts.filter(({ after }) => after <= watch.count);
  watch.acts = watch.acts.filter(({ after }) => after > watch.count);
  // Each act finds what was yielded before it in the log.
  if (due.length > 0) await context.committed();
  for (const act of due) await act.run(context);
}
