import type { MessageInitShape } from "@bufbuild/protobuf";
import { type ArtifactSchema, type PartSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { textChunkLengthMax } from "../domain/limits.ts";
import type { ProcessorEvent } from "../domain/processor-event.ts";

/** A status update, with a message of one text part if a text is given. */
export function status(state: TaskState, text?: string): ProcessorEvent {
  return {
    statusUpdate:
      text === undefined ? { state } : { state, message: { parts: [{ content: { case: "text", value: text } }] } },
  };
}

export function working(text?: string): ProcessorEvent {
  return status(TaskState.WORKING, text);
}

export function completed(text?: string): ProcessorEvent {
  return status(TaskState.COMPLETED, text);
}

export function failed(text: string): ProcessorEvent {
  return status(TaskState.FAILED, text);
}

export function rejected(text: string): ProcessorEvent {
  return status(TaskState.REJECTED, text);
}

export function inputRequired(text: string): ProcessorEvent {
  return status(TaskState.INPUT_REQUIRED, text);
}

export function authRequired(text: string): ProcessorEvent {
  return status(TaskState.AUTH_REQUIRED, text);
}

/** An artifact, or a chunk of one. `append` adds its parts to those that were sent under the same id (R126). */
export function artifact(
  init: MessageInitShape<typeof ArtifactSchema>,
  chunk: { readonly append?: boolean; readonly lastChunk?: boolean } = {},
): ProcessorEvent {
  return { artifactUpdate: { artifact: init, ...chunk } };
}

/** The texts of a message's text parts, joined by line ends. */
export function textOf(message: { readonly parts: readonly MessageInitShape<typeof PartSchema>[] }): string {
  return message.parts.flatMap((part) => (part.content?.case === "text" ? [part.content.value] : [])).join("\n");
}

/**
 * One artifact out of a text stream. Texts that arrive while the storage is busy are joined into one chunk with one
 * part, so a stream that is faster than the storage gives fewer and larger events. A chunk takes no further text once
 * it has 16 Ki characters.
 */
export async function* artifactFrom(
  chunks: AsyncIterable<string>,
  init: {
    readonly artifactId?: string;
    readonly name?: string;
    readonly description?: string;
    readonly mediaType?: string;
  },
): AsyncIterable<ProcessorEvent> {
  const { mediaType, ...rest } = init;
  const artifactId = init.artifactId ?? crypto.randomUUID();
  const iterator = chunks[Symbol.asyncIterator]();
  const chunkOf = (text: string, first: boolean, lastChunk: boolean): ProcessorEvent => {
    const part = { content: { case: "text" as const, value: text }, ...(mediaType !== undefined && { mediaType }) };
    return artifact(
      { ...(first ? { ...rest, artifactId } : { artifactId }), parts: [part] },
      { append: !first, lastChunk },
    );
  };
  let first = true;
  let pending = iterator.next();
  try {
    let result = await pending;
    while (!result.done) {
      let text = result.value;
      pending = iterator.next();
      // Takes what is there already, and waits for nothing.
      let ready = await readyNow(pending);
      while (ready !== undefined && !ready.done && text.length < textChunkLengthMax) {
        text += ready.value;
        pending = iterator.next();
        ready = await readyNow(pending);
      }
      yield chunkOf(text, first, ready?.done === true);
      first = false;
      if (ready?.done) return;
      result = await pending;
    }
    // The stream ended after its last chunk was sent, or had no chunk. An empty chunk marks the end.
    yield chunkOf("", first, true);
  } finally {
    pending.catch(() => undefined);
    await iterator.return?.();
  }
}

/** The result, if it is there by the next turn of the event loop. */
async function readyNow<T>(pending: Promise<T>): Promise<T | undefined> {
  return Promise.race([pending, new Promise<undefined>((resolve) => setImmediate(() => resolve(undefined)))]);
}
