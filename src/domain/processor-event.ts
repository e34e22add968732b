import type { JsonObject, MessageInitShape } from "@bufbuild/protobuf";
import type { ArtifactSchema, MessageSchema, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** What a processor yields: A2A's own events. Ids, timestamps and context are filled in. */
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
        /** Add to the artifact sent before under the same id (R126). */
        readonly append?: boolean;
        readonly lastChunk?: boolean;
        readonly metadata?: JsonObject;
      };
    };
