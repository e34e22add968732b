import type { StreamResponse } from "../../gen/lf/a2a/v1/a2a_pb.ts";

/** One reader of one task. Its memory is bounded: a slow reader goes back to the log, and no event is dropped. */
export interface TaskSubscriber extends AsyncIterable<StreamResponse>, AsyncDisposable {
  /**
   * The sequence up to which the reader has seen the task. A later reader continues after it. 0 before the first event.
   */
  readonly cursor: bigint;
  readonly closed: boolean;
  readonly lastAccessTime: Date;
  close(): Promise<void>;
}
