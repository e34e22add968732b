/** The errors of the A2A contract (R131), by the `reason` clients tell them apart with. */
export type A2AReason =
  | "TASK_NOT_FOUND"
  | "TASK_NOT_CANCELABLE"
  | "PUSH_NOTIFICATION_NOT_SUPPORTED"
  | "UNSUPPORTED_OPERATION"
  | "CONTENT_TYPE_NOT_SUPPORTED"
  | "INVALID_AGENT_RESPONSE"
  | "EXTENDED_AGENT_CARD_NOT_CONFIGURED"
  | "EXTENSION_SUPPORT_REQUIRED"
  | "VERSION_NOT_SUPPORTED";

/** What A2A has no error of its own for. */
export type GeneralReason =
  /** The request breaks a rule; `violations` name the fields. */
  | "INVALID_REQUEST"
  /** No such conversation in the caller's scope. */
  | "CONVERSATION_NOT_FOUND"
  /** A cursor or sequence outside the log. */
  | "OUT_OF_RANGE"
  /** A message, or what a task would become with it, is larger than allowed. */
  | "TOO_LARGE"
  /** A bounded queue is full; later it may not be. */
  | "TOO_MANY"
  /** Something runs that has to end first. */
  | "STILL_RUNNING"
  /** The same message id came before with other content, and that is refused here. */
  | "MESSAGE_ID_REUSED"
  /** The storage can't be reached, or the server is going down; later may help. */
  | "UNAVAILABLE"
  /** A log has a hole. */
  | "DATA_LOSS";

export type Reason = A2AReason | GeneralReason;

/** A fault in one field: its path in the request, in the contract's snake_case, and what would have been accepted. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/**
 * The one error of the core: what a caller is told, whatever the binding. The transport maps `reason` to codes by one
 * table. `message` may be shown to anyone; `cause` is for the log only.
 */
export class TaskError extends Error {
  override name = "TaskError";
  readonly reason: Reason;
  readonly violations: readonly FieldViolation[];
  /** Goes into ErrorInfo.metadata; strings only (trap 3). */
  readonly metadata: Readonly<Record<string, string>>;

  constructor(
    reason: Reason,
    message: string,
    options: {
      readonly cause?: unknown;
      readonly violations?: readonly FieldViolation[];
      readonly metadata?: Readonly<Record<string, string>>;
    } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.reason = reason;
    this.violations = options.violations ?? [];
    this.metadata = options.metadata ?? {};
  }
}

/** The missing and the inaccessible look the same (R184). */
export function taskNotFound(taskId: string): TaskError {
  return new TaskError("TASK_NOT_FOUND", `No task "${taskId}"`, { metadata: { taskId } });
}

/** What every call is told once the task manager has ended, or ends. */
export function closed(): TaskError {
  return new TaskError("UNAVAILABLE", "The task manager is closed");
}

export function invalidRequest(violations: readonly FieldViolation[]): TaskError {
  const text = violations.map((violation) => `${violation.field}: ${violation.description}`).join("; ");
  return new TaskError("INVALID_REQUEST", text, { violations });
}

export function messageIdReused({ messageId }: { readonly messageId: string }): TaskError {
  return new TaskError("MESSAGE_ID_REUSED", `Message id "${messageId}" was used before for another message`, {
    metadata: { messageId },
  });
}
