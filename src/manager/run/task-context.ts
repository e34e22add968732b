import { create, toJson } from "@bufbuild/protobuf";
import { type Value, ValueSchema } from "@bufbuild/protobuf/wkt";
import type { Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type SendOptions, StateSetSchema, StepResultSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { AsJson } from "../../agent/as-json.ts";
import type { CancellableTask } from "../../agent/cancellable-task.ts";
import type { ProcessOptions, TaskContext } from "../../agent/message-processor.ts";
import type { TaskSubscriber } from "../../agent/task-subscriber.ts";
import { type EntryBody, makeEntry } from "../../domain/entry.ts";
import { type TaskFold, taskOf } from "../../domain/fold.ts";
import { jsonOf, protoValue } from "../../domain/json-of.ts";
import type { Caller, Scope, TaskKey } from "../../domain/scope.ts";
import { invalidAgentResponse, TaskError } from "../../domain/task-error.ts";
import { isTerminal } from "../../domain/task-state.ts";
import type { TaskWriter } from "../../log/task-writer.ts";
import type { ManagerDeps } from "../manager-deps.ts";

/** What a context needs of the run of its task. */
export interface TurnHost {
  readonly key: TaskKey;
  readonly writer: TaskWriter;
  readonly fence: bigint;
  /** The turn has shown or stored something, or begun a step. So it doesn't run again unless its agent declares it. */
  touch(): void;
  /** Whether this turn runs now. */
  isRunning(turn: NonNullable<TaskFold["turn"]>): boolean;
}

export type TaskContextFactory = (
  run: TurnHost,
  turn: NonNullable<TaskFold["turn"]>,
  signal: AbortSignal,
  caller: Caller | undefined,
) => TaskContext;

/** What a context needs of the manager beyond its own task. */
export interface TaskAccess {
  getTask(taskId: string, caller: Caller): Promise<CancellableTask>;
  subscribeToTask(taskId: string, caller: Caller): TaskSubscriber;
  deleteTask(taskId: string, caller: Caller, contextId: string): Promise<boolean>;
}

/** Makes the contexts of turns. */
export function taskContexts(deps: ManagerDeps, access: TaskAccess): TaskContextFactory {
  return (run, turn, signal, knownCaller) => {
    const { writer, key } = run;
    const { tentative } = writer;
    const message = tentative.history[turn.message.historyIndex];
    if (message === undefined)
      throw new TaskError("DATA_LOSS", `The message of a turn of task "${key.taskId}" is missing`);
    const caller = knownCaller ?? ownerAsCaller(key);
    const { contextId } = tentative;
    const running = new Map<string, Promise<unknown>>();
    return {
      message,
      contextId,
      options: processOptions(turn.message.options),
      caller,
      signal,
      async history(limit) {
        // The storage shows what is durable. The message of this turn, or a question before it, may not be yet.
        await writer.whenCommitted(tentative.sequence);
        return conversationHistory(deps, key, contextId, limit);
      },
      taskId: key.taskId,
      attempt: turn.attempt,
      fence: run.fence,
      task: async () => taskOf(tentative),
      clock: deps.clock,
      step<T>(name: string, body: () => Promise<T & AsJson<T>>): Promise<T> {
        let result = running.get(name);
        if (result === undefined) {
          result = runStep(deps, run, turn, name, body);
          running.set(name, result);
          // A failed step may be tried again.
          result.catch(() => running.delete(name));
        }
        return result as Promise<T>;
      },
      state: {
        get: <T>() => resultOf({ value: tentative.state }) as T | undefined,
        set: (given) => setState(deps, run, turn, given),
      },
      async committed() {
        const { sequence } = tentative;
        await writer.whenCommitted(sequence);
        return sequence;
      },
      subscribeTask: (taskId) => access.subscribeToTask(taskId, caller),
      getTask: (taskId) => access.getTask(taskId, caller),
      async cleanTask(taskId) {
        await access.deleteTask(taskId, caller, contextId);
      },
    };
  };
}

async function runStep(
  deps: ManagerDeps,
  run: TurnHost,
  turn: NonNullable<TaskFold["turn"]>,
  name: string,
  body: () => Promise<unknown>,
): Promise<unknown> {
  checkRunning(run, turn, `step "${name}"`);
  const kept = run.writer.tentative.steps.get(name);
  if (kept !== undefined) return resultOf(kept);
  run.touch();
  const given = await body();
  // An absent Value stands for undefined.
  const value = given === undefined ? undefined : protoValue(jsonOf(given, `the result of step "${name}"`));
  checkRunning(run, turn, `step "${name}"`);
  const result = create(StepResultSchema, value === undefined ? { name } : { name, value });
  await run.writer.whenCommitted(appendToTurn(deps, run, { case: "stepResult", value: result }));
  // The stored value, not the body's own: a resumed turn must get the same one.
  return resultOf(result);
}

function setState(deps: ManagerDeps, run: TurnHost, turn: NonNullable<TaskFold["turn"]>, given: unknown): void {
  checkRunning(run, turn, "the state");
  const value = given === undefined ? undefined : protoValue(jsonOf(given, "the state of the task"));
  const state = create(StateSetSchema, value === undefined ? {} : { value });
  run.touch();
  appendToTurn(deps, run, { case: "stateSet", value: state });
}

/** What the agent left running must not write into a later turn, nor beside another run of the task. */
function checkRunning(run: TurnHost, turn: NonNullable<TaskFold["turn"]>, what: string): void {
  if (!run.isRunning(turn))
    throw new TaskError("UNSUPPORTED_OPERATION", `The turn of ${what} is over`, {
      metadata: { taskId: run.key.taskId },
    });
  if (isTerminal(run.writer.tentative.status.state)) throw invalidAgentResponse(`${what} follows a terminal status`);
}

function appendToTurn(deps: ManagerDeps, { writer }: TurnHost, body: EntryBody): bigint {
  return writer.append([makeEntry(Math.max(deps.clock.now(), writer.tentative.timeMs), body)], "bounded");
}

function resultOf({ value }: { readonly value?: Value | undefined }): unknown {
  return value === undefined ? undefined : toJson(ValueSchema, value);
}

/**
 * The `limit` newest messages of a conversation, for its agent; all of them without a limit. Throws TaskError
 * INVALID_REQUEST for a limit below 1.
 */
export async function conversationHistory(
  deps: ManagerDeps,
  scope: Scope,
  contextId: string,
  limit?: number,
): Promise<readonly Message[]> {
  if (limit !== undefined && (!Number.isInteger(limit) || limit < 1)) {
    throw new TaskError("INVALID_REQUEST", `The limit of a history must be at least 1, not ${limit}`);
  }
  return deps.storage.listMessagesByContextId(scope, contextId, limit ?? -1);
}

/** The caller of a resumed turn: the owner of its task. The process that knew claims and headers is gone. */
export function ownerAsCaller({ tenant, owner }: Scope): Caller {
  return { tenant, owner, claims: {}, headers: new Headers() };
}

export function processOptions(options: SendOptions | undefined): ProcessOptions {
  return {
    blocking: options?.blocking ?? false,
    streaming: options?.streaming ?? false,
    acceptedOutputModes: options?.acceptedOutputModes ?? [],
    ...(options?.historyLength !== undefined && { historyLength: options.historyLength }),
    ...(options?.metadata !== undefined && { metadata: options.metadata }),
  };
}
