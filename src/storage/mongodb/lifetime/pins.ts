import type { Binary } from "mongodb";
import type { TaskState } from "../../../../gen/lf/a2a/v1/a2a_pb.ts";
import { isTerminal } from "../../../domain/task-state.ts";
import { type MongoContext, type Parent, type RunningNotes, ttlOf } from "../context.ts";
import type { PinChange } from "../conversations/conversation-pipelines.ts";
import { touchConversation } from "../conversations/conversations.ts";
import { bigintOf, nameOf, newId, sameKey } from "../keys.ts";
import { confirmMsMax } from "../limits.ts";
import type { ConversationRecord, TaskRecord } from "../records.ts";
import { isRunning } from "../states.ts";

/** The shortest time between two accesses to a conversation by appends without messages. */
export function confirmMsOf(context: MongoContext): number {
  return Math.min((ttlOf(context) ?? Number.POSITIVE_INFINITY) / 60, confirmMsMax);
}

interface RunningTask extends Parent {
  readonly task: Binary;
  readonly pin: PinChange;
}

/**
 * The tasks that this process runs. Their conversations are touched regularly, even without appends. A touch renews the
 * task's pin and the records of the conversation.
 */
export class RunningTasks implements RunningNotes {
  readonly #tasks = new Map<string, RunningTask>();

  /** Notes a task's state. */
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

  /** Touches the conversations of all tasks. A task whose pin is gone, or belongs to another replica, is dropped. */
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

/**
 * Removes the pin of an ended task, which a crash between the task's end and the removal of its pin left. Called when a
 * task is read; until then the conversation lives longer than it needs to.
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
