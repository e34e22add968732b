import { TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import type { PlacedEntry } from "./entry.ts";
import type { TaskFold } from "./fold.ts";
import { isTerminal } from "./task-state.ts";

/**
 * Which INPUT_REQUIRED ends a stream. A terminal status ends every stream (R36, R60). AUTH_REQUIRED ends none, because
 * the credential may come out of band (R37, R87).
 */
export type StreamUntil =
  /** None: the stream goes on to the end of the task. */
  | { readonly kind: "task-end" }
  /** The next one after the stream's cursor. */
  | { readonly kind: "next-question" }
  /** One of the turn that answers the message at this sequence, or of a later turn. */
  | { readonly kind: "answer"; readonly message: bigint };

/** Where a stream ends, as far as its reader has come. */
export interface StreamEnd {
  readonly until: StreamUntil;
  /** The sequence of the message whose turn was the last to begin; 0 if there was none. */
  readonly turnMessage: bigint;
  /** The sequence of the last entry of the stream; undefined while that is not known. */
  readonly endsAt: bigint | undefined;
}

/**
 * The end of a stream as known when it opens. `head` is the newest committed state of the task. `turnMessage` belongs
 * to the stream's cursor, which may be below the head.
 *
 * The stream ends with the head where the task has ended, and where the turn of an "answer" has asked already: nothing
 * more comes until a client sends the next message.
 */
export function openStreamEnd(
  until: StreamUntil,
  head: Pick<TaskFold, "sequence" | "status" | "turn">,
  turnMessage: bigint,
): StreamEnd {
  const { state } = head.status;
  const asked = until.kind === "answer" && isQuestionFor(until, state, turnMessageOf(head));
  return { until, turnMessage, endsAt: isTerminal(state) || asked ? head.sequence : undefined };
}

/** The end of a stream after a further page of its log. Pages follow one another without a gap. */
export function streamEndAfter(end: StreamEnd, page: readonly PlacedEntry[]): StreamEnd {
  const { until } = end;
  let { turnMessage } = end;
  for (const { sequence, entry } of page) {
    if (end.endsAt !== undefined && sequence > end.endsAt) break;
    const { body } = entry;
    if (body.case === "turn") turnMessage = body.value.messageSequence;
    if (body.case !== "statusUpdate") continue;
    const state = body.value.status?.state ?? TaskState.UNSPECIFIED;
    if (isTerminal(state) || isQuestionFor(until, state, turnMessage)) return { until, turnMessage, endsAt: sequence };
  }
  return turnMessage === end.turnMessage ? end : { ...end, turnMessage };
}

/** The sequence of the message whose turn began last; 0 if no turn began. */
export function turnMessageOf({ turn }: Pick<TaskFold, "turn">): bigint {
  return turn?.message.sequence ?? 0n;
}

function isQuestionFor(until: StreamUntil, state: TaskState, turnMessage: bigint): boolean {
  if (state !== TaskState.INPUT_REQUIRED) return false;
  switch (until.kind) {
    case "task-end":
      return false;
    case "next-question":
      return true;
    case "answer":
      return turnMessage >= until.message;
    default:
      return until satisfies never;
  }
}
