/** The errors of the A2A contract (R131), by the `reason` that clients see. */
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

/** Errors that the A2A contract has no name for. */
export type GeneralReason =
  /** The request breaks a rule; `violations` name the fields. */
  | "INVALID_REQUEST"
  /** No such conversation in the caller's scope. */
  | "CONVERSATION_NOT_FOUND"
  /** A cursor or sequence outside the log. */
  | "OUT_OF_RANGE"
  /** A message is larger than allowed, or its task would become so. */
  | "TOO_LARGE"
  /** A bounded queue is full. A later try may succeed. */
  | "TOO_MANY"
  /** A task is running and must end first. */
  | "STILL_RUNNING"
  /** The message id was used before with other content, and this server refuses that. */
  | "MESSAGE_ID_REUSED"
  /** The storage cannot be reached, or the server shuts down. A later try may succeed. */
  | "UNAVAILABLE"
  /** A log is damaged. */
  | "DATA_LOSS";

export type Reason = A2AReason | GeneralReason;

/** A fault in one field: its path in the request, in the contract's snake_case, and what is accepted. */
export interface FieldViolation {
  readonly field: string;
  readonly description: string;
}

/**
 * The one error of the core, for every binding. The transport maps `reason` to codes by one table. Clients may see
 * `message`; `cause` is for the log only.
 */
export class TaskError extends Error {
  override name = "TaskError";
  readonly reason: Reason;
  readonly violations: readonly FieldViolation[];
  /** Goes into ErrorInfo.metadata, which is a map of strings. */
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

/** The error for a missing task and for an inaccessible one: clients must not tell them apart (R184). */
export function taskNotFound(taskId: string): TaskError {
  return new TaskError("TASK_NOT_FOUND", `No task "${taskId}"`, { metadata: { taskId } });
}

/** The error of every call once the task manager closes. */
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

/** What the agent gave breaks its contract. `why` is for its author, and names no content. */
export function invalidAgentResponse(why: string, cause?: unknown): TaskError {
  return new TaskError("INVALID_AGENT_RESPONSE", `The agent's answer breaks the contract: ${why}`, { cause });
}
