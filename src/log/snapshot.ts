import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import {
  type SendOptions,
  TaskSnapshotSchema,
  TurnStartedSchema,
  WaitingMessageSchema,
} from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { emptyFold, FoldError, type TaskFold, taskOf, type WaitingMessage } from "../domain/fold.ts";

/** A fold as bytes. Unknown fields of messages, parts and artifacts are kept. */
export function encodeSnapshot(fold: TaskFold): Uint8Array {
  return toBinary(
    TaskSnapshotSchema,
    create(TaskSnapshotSchema, {
      sequence: fold.sequence,
      task: taskOf(fold),
      timeMs: BigInt(fold.timeMs),
      waiting: fold.waiting.map(encodeWaiting),
      ...(fold.turn && {
        turn: create(TurnStartedSchema, {
          messageSequence: fold.turn.message.sequence,
          attempt: fold.turn.attempt,
          losses: fold.turn.losses,
        }),
        turnMessage: encodeWaiting(fold.turn.message),
        ...(fold.turn.stopped && { turnStopped: fold.turn.stopped }),
      }),
      stepResults: [...fold.steps.values()],
      ...(fold.state && { state: fold.state }),
      cancelRequested: fold.cancelRequested,
      turnOpen: fold.turnOpen,
      questionInHistory: fold.questionInHistory,
    }),
  );
}

/** The fold in the bytes of `encodeSnapshot`. Throws FoldError for bytes of another task. */
export function decodeSnapshot(taskId: string, bytes: Uint8Array): TaskFold {
  const snapshot = fromBinary(TaskSnapshotSchema, bytes);
  const task = snapshot.task;
  if (task?.status === undefined || task.id !== taskId)
    throw new FoldError(`The snapshot of task "${taskId}" is damaged`);
  const fold = emptyFold(taskId);
  fold.sequence = snapshot.sequence;
  fold.contextId = task.contextId;
  fold.timeMs = Number(snapshot.timeMs);
  fold.status = task.status;
  fold.metadata = task.metadata;
  fold.cancelRequested = snapshot.cancelRequested;
  fold.turnOpen = snapshot.turnOpen;
  fold.questionInHistory = snapshot.questionInHistory;
  fold.state = snapshot.state;
  for (const message of task.history) fold.history.push(message);
  for (const artifact of task.artifacts) {
    fold.artifactIndex.set(artifact.artifactId, fold.artifacts.length);
    fold.artifacts.push(artifact);
  }
  fold.waiting = snapshot.waiting.map(decodeWaiting);
  const { turn, turnMessage, turnStopped: stopped } = snapshot;
  if (turn !== undefined && turnMessage !== undefined)
    fold.turn = { message: decodeWaiting(turnMessage), attempt: turn.attempt, losses: turn.losses, stopped };
  for (const result of snapshot.stepResults) fold.steps.set(result.name, result);
  return fold;
}

function encodeWaiting({ sequence, historyIndex, options }: WaitingMessage) {
  return create(WaitingMessageSchema, { sequence, historyIndex, ...(options && { options }) });
}

function decodeWaiting(waiting: {
  sequence: bigint;
  historyIndex: number;
  options?: SendOptions | undefined;
}): WaitingMessage {
  return { sequence: waiting.sequence, historyIndex: waiting.historyIndex, options: waiting.options };
}
