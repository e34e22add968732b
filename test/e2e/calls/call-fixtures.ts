import { clone, type DescMessage, type MessageInitShape, type MessageShape, toJson } from "@bufbuild/protobuf";
import { type MessageSchema, Role, type Task, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { Clients } from "../bindings.ts";

export type MessageInit = MessageInitShape<typeof MessageSchema>;

/**
 * One call, with the calls that must come before it. What it returns, or the error it throws, is compared over all
 * bindings.
 */
export interface Call {
  readonly name: string;
  /** Tasks that the call makes before it is refused; a refused call itself makes none. Default 0. */
  readonly makes?: number;
  /**
   * The result in a form that can be compared, or a rejection. `run` is a string that no other run of the table has.
   */
  call(clients: Clients, run: string): Promise<unknown>;
  /**
   * What is expected, beside being equal everywhere: of an error the code and reason, of an answer some of its members.
   */
  readonly expected:
    | { readonly code: string; readonly reason?: string; readonly fields?: readonly string[] }
    | { readonly ok: unknown };
}

export function userMessage(text: string, init: MessageInit = {}): MessageInit {
  return {
    messageId: crypto.randomUUID(),
    role: Role.USER,
    parts: [{ content: { case: "text", value: text } }],
    ...init,
  };
}

export async function sent(clients: Clients, text: string, init: MessageInit = {}, tenant = ""): Promise<Task> {
  const { payload } = await clients.a2a.sendMessage({ tenant, message: userMessage(text, init) });
  if (payload.case !== "task") throw new Error(`"${text}" was answered with ${payload.case}`);
  return payload.value;
}

export async function collected<T>(events: AsyncIterable<T>): Promise<readonly T[]> {
  const all: T[] = [];
  for await (const event of events) all.push(event);
  return all;
}

export const states = (
  events: readonly { readonly payload: { readonly case: string | undefined; readonly value?: unknown } }[],
) =>
  events.map(({ payload }) => {
    const value = payload.value as { readonly status?: { readonly state: TaskState } };
    return value?.status === undefined ? payload.case : `${payload.case} ${stateOf(value)}`;
  });

export const stateNames = new Map<number, string>(Object.entries(TaskState).map(([name, number]) => [number, name]));
export const stateOf = (task: { readonly status?: { readonly state: TaskState } | undefined } | undefined) =>
  stateNames.get(task?.status?.state ?? 0);

export const textParts = (task: Task) =>
  task.artifacts.map((artifact) => artifact.parts.map((part) => part.content.value));
export const histories = (task: Task) =>
  task.history.map(
    (message) =>
      `${message.role === Role.USER ? "USER" : "AGENT"} ${message.parts.map((part) => part.content.value).join("|")}`,
  );

/** A task in the shape of its JSON, without what differs from run to run. */
export function shape<Desc extends DescMessage>(schema: Desc, message: MessageShape<Desc>): unknown {
  const text = JSON.stringify(toJson(schema, clone(schema, message)));
  return JSON.parse(
    text.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, "ID").replaceAll(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "TIME"),
  );
}

export const everyJson = {
  text: "",
  number: -1.5,
  yes: true,
  none: null,
  list: [1, "two", [], { deep: [null] }],
  empty: {},
};
