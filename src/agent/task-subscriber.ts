import type { StreamResponse } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** One reader of one task. Bounded memory; a slow reader goes back to the log; nothing is dropped. */
export interface TaskSubscriber extends AsyncIterable<StreamResponse>, AsyncDisposable {
  /** The sequence up to which the reader knows the task: where to go on after a break. 0 before the first event. */
  readonly cursor: bigint;
  readonly closed: boolean;
  readonly lastAccessTime: Date;
  close(): Promise<void>;
}
