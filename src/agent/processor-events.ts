import type { JsonObject } from "@bufbuild/protobuf";
import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { ArtifactInit, PartInit, ProcessorEvent } from "../domain/processor-event.ts";

/**
 * A status update, with a message of one text part if a text is given. `metadata` is the event's: readers of streams
 * see it, and it stays in the log, but it is no part of the task.
 */
export function status(state: TaskState, text?: string, metadata?: JsonObject): ProcessorEvent {
  return {
    statusUpdate: {
      state,
      ...(text !== undefined && { message: { parts: [{ text }] } }),
      ...(metadata !== undefined && { metadata }),
    },
  };
}

/** Tells how the work goes. The text is no part of the task's history. */
export function working(text?: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.WORKING, text, metadata);
}

/** Ends the task; or the turn alone, if messages wait. */
export function completed(text?: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.COMPLETED, text, metadata);
}

/** Ends the task. The text is for the client: it says what went wrong. */
export function failed(text: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.FAILED, text, metadata);
}

/** Ends the task, which the agent will not do. The text says why. */
export function rejected(text: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.REJECTED, text, metadata);
}

/** Asks the client. Its next message to the task is another turn. */
export function inputRequired(text: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.INPUT_REQUIRED, text, metadata);
}

/** Asks for authorization. The turn may go on, and waits for what comes outside of the protocol. */
export function authRequired(text: string, metadata?: JsonObject): ProcessorEvent {
  return status(TaskState.AUTH_REQUIRED, text, metadata);
}

/** An artifact of these parts, whole. A name that the turn uses again makes another artifact. */
export function artifact(name: string, first: PartInit, ...more: readonly PartInit[]): ProcessorEvent;
/**
 * An artifact, or a chunk of one. `append` adds its parts to those that were sent under the same id (R126). The
 * `metadata` of the second argument is the event's; that of the artifact stays in the task.
 */
export function artifact(
  init: ArtifactInit,
  chunk?: { readonly append?: boolean; readonly lastChunk?: boolean; readonly metadata?: JsonObject },
): ProcessorEvent;
export function artifact(
  nameOrInit: string | ArtifactInit,
  partOrChunk: object = {},
  ...more: readonly PartInit[]
): ProcessorEvent {
  return typeof nameOrInit === "string"
    ? { artifactUpdate: { artifact: { name: nameOrInit, parts: [partOrChunk, ...more] }, lastChunk: true } }
    : { artifactUpdate: { artifact: nameOrInit, ...partOrChunk } };
}

/** The texts of a message's or an artifact's text parts, joined by line ends. */
export function textOf({ parts = [] }: { readonly parts?: readonly PartInit[] }): string {
  return parts.flatMap((part) => textOfPart(part) ?? []).join("\n");
}

function textOfPart(part: PartInit): string | undefined {
  if ("text" in part) return part.text;
  return "content" in part && part.content?.case === "text" ? part.content.value : undefined;
}

/** The name of `usage` in metadata. */
export const usageKey = "urn:a2a-task-manager:usage:v1";

/** What a turn took of a model. */
export interface Usage {
  /** Tokens of the prompts. */
  readonly input: number;
  /** Tokens that the model made. */
  readonly output: number;
  /** As its provider names it. */
  readonly model: string;
}

/**
 * Metadata that says what an answer took, under `usageKey`: `yield completed("Done", usage({ input, output, model }))`.
 * There readers of streams see it; as the metadata of an artifact it also stays in the task.
 */
export function usage({ input, output, model }: Usage): JsonObject {
  return { [usageKey]: { input, output, model } };
}
