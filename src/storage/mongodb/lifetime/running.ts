import type { Binary } from "mongodb";
import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type MongoContext, type Parent, type RunningNotes, ttlOf } from "../context.ts";
import type { PinChange } from "../conversations/conversation-pipelines.ts";
import { touchConversation } from "../conversations/conversations.ts";
import { nameOf, newId } from "../keys.ts";
import { confirmMsMax } from "../limits.ts";
import { isRunning } from "../states.ts";

/** How often, at most, an ordinary append looks at its conversation: as often as an access is worth noting. */
export function confirmMsOf(context: MongoContext): number {
  return Math.min((ttlOf(context) ?? Number.POSITIVE_INFINITY) / 60, confirmMsMax);
}

interface RunningTask extends Parent {
  readonly task: Binary;
  readonly pin: PinChange;
}

/**
 * The tasks that this process runs. However silent one is, its conversation is touched again and again: that renews its
 * hold, and with it all that belongs to the conversation.
 */
export class RunningTasks implements RunningNotes {
  readonly #tasks = new Map<string, RunningTask>();

  /** A task is in a state now. */
  note(
    task: Binary,
    { conversation, incarnation, state }: Parent & { readonly state: TaskState },
    pin: PinChange | undefined,
  ): void {
    if (isRunning(state) && pin !== undefined) {
      this.#tasks.set(nameOf(task), { task, conversation, incarnation, pin });
    } else {
      this.#tasks.delete(nameOf(task));
    }
  }

  forget(task: Binary): void {
    this.#tasks.delete(nameOf(task));
  }

  /**
   * Touches the conversations of all of them. One whose hold is gone, or another's by now, isn't this process's affair
   * any more.
   */
  async touchAll(context: MongoContext): Promise<void> {
    for (const [name, { pin, task, ...parent }] of [...this.#tasks]) {
      if (context.jobs.closed) {
        return;
      }
      const condition = { pins: { $elemMatch: { task, running: true } } };
      if ((await touchConversation(context, parent, { access: "now", pin, token: newId() }, condition)) === undefined) {
        this.#tasks.delete(name);
      }
    }
  }
}
