import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { ArtifactSchema, MessageSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** What a processor yields: A2A's events. The task manager fills in ids, timestamps and context. */
export type ProcessorEvent =
  | {
      readonly statusUpdate: {
        readonly state: TaskState;
        readonly message?: MessageInitShape<typeof MessageSchema>;
        readonly metadata?: JsonObject;
      };
    }
  | {
      readonly artifactUpdate: {
        readonly artifact: MessageInitShape<typeof ArtifactSchema>;
        /** Adds to the artifact that was sent under the same id (R126). */
        readonly append?: boolean;
        readonly lastChunk?: boolean;
        readonly metadata?: JsonObject;
      };
    };
