import type { Message } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { TaskKey } from "../../domain/scope.ts";

/** What became of a message: a bare answer (R16), or a place in the log of a task. */
export type Accepted =
  | { readonly kind: "message"; readonly message: Message }
  | {
      readonly kind: "task";
      readonly key: TaskKey;
      /** The sequence of the message's entry; 1 if an earlier turn has answered the message. */
      readonly sequence: bigint;
      /** This send created the task, so its sender has seen nothing of it yet. */
      readonly isNew: boolean;
    };
