import { isTerminal } from "../../../domain/task-state.ts";
import type { MongoContext } from "../context.ts";
import { touchConversation } from "../conversations/conversations.ts";
import { bigintOf, nameOf, newId, sameKey } from "../keys.ts";
import type { ConversationRecord, TaskRecord } from "../records.ts";

/**
 * Takes away the hold that a crash between the end of a task and the release of its conversation left, when somebody
 * comes across it. Until then the conversation merely stays longer than it need.
 */
export function releaseLater(
  context: MongoContext,
  task: TaskRecord & { readonly parent: Pick<ConversationRecord, "pins"> },
): void {
  const { _id, state, fence, head } = task;
  if (isTerminal(state) && task.parent.pins.some((pin) => sameKey(pin.task, _id))) {
    context.jobs.run(`release ${nameOf(_id)}`, async () => {
      await touchConversation(context, task, {
        access: "keep",
        pin: { task: _id, fence: bigintOf(fence), head, until: undefined },
        token: newId(),
      });
    });
  }
}
