import type { TurnEnd } from "../../domain/decide.ts";
import type { Turn } from "../../domain/fold.ts";
import { stateNames } from "../../domain/task-state.ts";
import type { TaskWriter } from "../../log/task-writer.ts";
import type { ManagerDeps } from "../manager-deps.ts";

interface TurnLogged {
  readonly how: TurnEnd["kind"] | "lost";
  /** When it began, by the monotonic clock. */
  readonly begunMs: number;
  /** The bytes of the task's log when it began. */
  readonly logBytes: number;
}

/** One line at the end of a turn, without anything that its agent said. Below the level "info" nothing is built. */
export function logTurn(
  { logger, clock }: ManagerDeps,
  { tentative, logBytes: bytes }: TaskWriter,
  { message, attempt }: Turn,
  { how, begunMs, logBytes }: TurnLogged,
): void {
  if (logger.isLevelEnabled?.("info") === false) return;
  const { taskId, contextId, status } = tentative;
  logger.info(
    {
      taskId,
      "gen_ai.conversation.id": contextId,
      messageSequence: Number(message.sequence),
      attempt,
      end: how,
      state: stateNames[status.state],
      durationMs: Math.round((clock.monotonic() - begunMs) * 10) / 10,
      bytes: bytes - logBytes,
    },
    "A turn ended",
  );
}
