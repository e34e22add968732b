import { sameMessage } from "../../domain/entry.ts";
import type { Scope, TaskKey } from "../../domain/scope.ts";
import { messageIdReused } from "../../domain/task-error.ts";
import { isSettled } from "../../domain/task-state.ts";
import type { DuplicateClaim } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import type { TaskRuns } from "../run/task-runs.ts";
import type { Accepted } from "./accepted.ts";
import type { Incoming } from "./incoming.ts";

/**
 * Finds repeats of new messages (R29). The storage keeps a claim for each message: the first send of a message holds
 * it, and a repeat within the duplicate window gets what the first send got.
 */
export class Deduplication {
  readonly #deps: ManagerDeps;
  readonly #runs: TaskRuns;
  /**
   * New messages on their way in, by scope, message id and content. A repeat waits here for the first send. Bounded by
   * the calls under way.
   */
  readonly #underWay = new Map<string, Promise<Accepted>>();

  constructor(deps: ManagerDeps, runs: TaskRuns) {
    this.#deps = deps;
    this.#runs = runs;
  }

  /**
   * Runs `accept` for the first send of a message. A repeat that arrives while `accept` runs gets the same result.
   * Repeats that arrive later are found by their claim, within `accept`. `onWait` is called if this one waits for
   * another send, and so perhaps for an agent.
   */
  async once(incoming: Incoming, accept: () => Promise<Accepted>, onWait?: () => void): Promise<Accepted> {
    const { scope, claim } = incoming;
    if (claim === undefined) return accept();
    const id = JSON.stringify([scope.tenant, scope.owner, claim.messageId, claim.contentHash]);
    const first = this.#underWay.get(id);
    if (first !== undefined) {
      onWait?.();
      return asRepeat(await first);
    }
    const accepted = accept();
    this.#underWay.set(id, accepted);
    try {
      return await accepted;
    } finally {
      this.#underWay.delete(id);
    }
  }

  /**
   * Claims a message before its agent is asked for an answer. Gives what an earlier send got, or the id of the task
   * that the message may become.
   *
   * An earlier claim may have led to nothing. It is then claimed a second time, because a task that was deleted in
   * between took its claim along, and its id is never used again (R76). A claim that is still held the second time
   * belongs to a send that went away: this send takes its task id.
   */
  async claim(incoming: Incoming, abandoned?: string): Promise<Accepted | string> {
    const { scope, message, claim } = incoming;
    if (claim === undefined) return this.#deps.newId();
    const result = await this.#deps.storage.claimMessage(scope, claim);
    switch (result.outcome) {
      case "accepted":
        if (result.otherContent) this.warnOfReuse(incoming);
        return claim.taskId;
      case "reused":
        throw messageIdReused(message);
      case "duplicate": {
        const joined = await this.join(scope, result);
        if (joined !== undefined) return joined;
        return result.taskId === abandoned ? abandoned : this.claim(incoming, result.taskId);
      }
      default:
        return result satisfies never;
    }
  }

  /**
   * What an earlier send of the message got; undefined if there was none. For a server without room for another task,
   * so a new message must not leave a claim: the message is looked up before it is claimed.
   */
  async joinKnown({ scope, message, claim }: Incoming): Promise<Accepted | undefined> {
    if (claim === undefined) return undefined;
    const { storage } = this.#deps;
    const known = await storage.getMessage(scope, message.messageId);
    if (known === undefined || !sameMessage(known, message)) return undefined;
    const result = await storage.claimMessage(scope, claim);
    return result.outcome === "duplicate" ? this.join(scope, result) : undefined;
  }

  /** What the send that holds a claim got; undefined if its claim led to nothing. */
  async join(scope: Scope, claim: Pick<DuplicateClaim, "taskId" | "answer">): Promise<Accepted | undefined> {
    if (claim.answer !== undefined) return { kind: "message", message: claim.answer };
    const key: TaskKey = { tenant: scope.tenant, owner: scope.owner, taskId: claim.taskId };
    const run = this.#runs.peek(key);
    if (run === undefined || run.lost !== undefined) {
      const stored = await this.#deps.storage.getTask(key);
      if (stored === undefined) return undefined;
      // No server runs it: its creator has died, or got no answer to its append.
      if (!isSettled(stored.state)) await this.#runs.use(key, (orphan) => orphan.recover());
    }
    return { kind: "task", key, sequence: 1n, isNew: false };
  }

  warnOfReuse({ message: { messageId } }: Incoming): void {
    this.#deps.logger.warn(
      { messageId },
      "A message id was used again with other content; the message is treated as a new one",
    );
  }
}

/** What a send got, as a repeat of it gets it. */
function asRepeat(accepted: Accepted): Accepted {
  return accepted.kind === "task" ? { ...accepted, isNew: false } : accepted;
}
