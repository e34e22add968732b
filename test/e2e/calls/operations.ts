import type { Clients } from "../bindings.ts";
import { userMessage } from "./call-fixtures.ts";

async function readToEnd(events: AsyncIterable<unknown>): Promise<void> {
  for await (const _ of events);
}

/** The eleven operations of the contract (R1), by name, with requests that are in order but for what they ask for. */
export const operations: Readonly<Record<string, (clients: Clients) => Promise<unknown>>> = {
  SendMessage: ({ a2a }) => a2a.sendMessage({ message: userMessage("hello") }),
  SendStreamingMessage: ({ a2a }) => readToEnd(a2a.sendStreamingMessage({ message: userMessage("hello") })),
  GetTask: ({ a2a }) => a2a.getTask({ id: "nowhere" }),
  ListTasks: ({ a2a }) => a2a.listTasks({}),
  CancelTask: ({ a2a }) => a2a.cancelTask({ id: "nowhere" }),
  SubscribeToTask: ({ a2a }) => readToEnd(a2a.subscribeToTask({ id: "nowhere" })),
  CreateTaskPushNotificationConfig: ({ a2a }) =>
    a2a.createTaskPushNotificationConfig({ taskId: "nowhere", url: "https://example.org" }),
  GetTaskPushNotificationConfig: ({ a2a }) => a2a.getTaskPushNotificationConfig({ taskId: "nowhere", id: "c" }),
  ListTaskPushNotificationConfigs: ({ a2a }) => a2a.listTaskPushNotificationConfigs({ taskId: "nowhere" }),
  DeleteTaskPushNotificationConfig: ({ a2a }) => a2a.deleteTaskPushNotificationConfig({ taskId: "nowhere", id: "c" }),
  GetExtendedAgentCard: ({ a2a }) => a2a.getExtendedAgentCard({}),
};

/** The reason of the error that each operation answers with; undefined where it answers. */
export async function reasons(
  clients: Clients,
  told: (error: unknown) => { readonly reason: string | undefined },
): Promise<Record<string, string | undefined>> {
  const entries = Object.entries(operations).map(async ([name, call]) => [
    name,
    await call(clients).then(
      () => undefined,
      (error: unknown) => told(error).reason,
    ),
  ]);
  return Object.fromEntries(await Promise.all(entries));
}
