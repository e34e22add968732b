import type { JsonObject, JsonValue, MessageInitShape } from "@bufbuild/protobuf";
import type { ArtifactSchema, MessageSchema, PartSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** What a part may have besides its content. */
export interface PartDetails {
  /** A file's name, without a path. */
  readonly filename?: string;
  /** As in a Content-Type header, such as "text/markdown". */
  readonly mediaType?: string;
  readonly metadata?: JsonObject;
}

/**
 * A part as A2A's JSON writes it, with exactly one content: a text, a JSON value, the bytes of a file, or the absolute
 * URL of a file.
 */
export type PlainPart = PartDetails &
  (
    | { readonly text: string; readonly data?: never; readonly raw?: never; readonly url?: never }
    | { readonly data: JsonValue; readonly text?: never; readonly raw?: never; readonly url?: never }
    | { readonly raw: Uint8Array; readonly text?: never; readonly data?: never; readonly url?: never }
    | { readonly url: string; readonly text?: never; readonly data?: never; readonly raw?: never }
  );

/** A part in either form: plain, or as the generated code has it. */
export type PartInit = PlainPart | MessageInitShape<typeof PartSchema>;

/** A message of the agent. Its id is filled in unless it is given; its role and its context always are. */
export type MessageInit = WithParts<MessageInitShape<typeof MessageSchema>>;

/** An artifact, or a chunk of one. It needs at least one part. */
export type ArtifactInit = WithParts<MessageInitShape<typeof ArtifactSchema>>;

type WithParts<T> = Omit<T, "parts"> & { readonly parts?: readonly PartInit[] };

/** What a processor yields: A2A's events. The task manager fills in ids, timestamps and context. */
export type ProcessorEvent =
  | {
      readonly statusUpdate: {
        readonly state: TaskState;
        readonly message?: MessageInit;
        /** Of the event: readers of streams see it, and it stays in the log. It is no part of the task. */
        readonly metadata?: JsonObject;
      };
    }
  | {
      readonly artifactUpdate: {
        /**
         * Without an `artifactId` it gets one that follows from the turn, the artifact's name and how many artifacts
         * without an id have had that name in the turn. So a turn that runs again replaces what it had begun.
         */
        readonly artifact: ArtifactInit;
        /** Adds to the artifact that was sent under the same id (R126). */
        readonly append?: boolean;
        readonly lastChunk?: boolean;
        /** Chunks without an id that have the same `series` are chunks of one artifact. */
        readonly series?: symbol;
        /** Of the event, as that of a status. */
        readonly metadata?: JsonObject;
      };
    };
