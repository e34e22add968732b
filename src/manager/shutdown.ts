import { closed } from "../domain/task-error.ts";
import type { MessageIntake } from "./accept/message-intake.ts";
import type { ManagerDeps } from "./manager-deps.ts";
import type { Membership } from "./replica/membership.ts";
import type { ReadinessTracker } from "./replica/readiness.ts";
import type { TaskRuns } from "./run/task-runs.ts";

/** The time for the last appends when the manager is disposed, after the grace time of the turns. */
export const storageWaitMs = 5_000;

/** What a task manager ends. */
export interface ShutdownParts {
  readonly readiness: ReadinessTracker;
  readonly runs: TaskRuns;
  readonly intake: MessageIntake;
  readonly membership: Membership;
  readonly stopSweeper: () => Promise<void>;
  /** Ends the looks for tasks of dead servers. A call that needs such a task takes it over at once. */
  readonly stopRecovery: () => Promise<void>;
}

/** The end of a task manager, in two steps: it drains, if that is wanted, and it closes. Each happens once. */
export class Shutdown {
  readonly #deps: ManagerDeps;
  readonly #parts: ShutdownParts;
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  /** Ends the wait of the drain under way. */
  #endDrain = () => {};

  constructor(deps: ManagerDeps, parts: ShutdownParts) {
    this.#deps = deps;
    this.#parts = parts;
  }

  /** No message is accepted any more. */
  get draining(): boolean {
    return this.#draining !== undefined;
  }

  /** No call is admitted any more. */
  get closing(): boolean {
    return this.#closing !== undefined;
  }

  /**
   * Begins no more turns, and resolves when none runs and the agent answers no message, or after `turnsMs`, or when the
   * task manager closes.
   */
  drain(turnsMs: number): Promise<void> {
    this.#draining ??= this.#drain(turnsMs);
    return this.#draining;
  }

  /** Aborts the running turns, waits for the last appends, and leaves the database. */
  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #drain(turnsMs: number): Promise<void> {
    const { readiness, stopRecovery, intake, runs } = this.#parts;
    readiness.drain();
    // The next server takes over what is lost from now on.
    void stopRecovery();
    // A message on its way in may still create a task, which the next server runs.
    const ended = Promise.all([intake.finish(), runs.finishAll()]).then(() => {});
    if (turnsMs === 0) return;
    const { promise: late, resolve } = Promise.withResolvers<void>();
    this.#endDrain = resolve;
    const cancel = this.#deps.clock.after(turnsMs, resolve);
    await Promise.race([ended, late]);
    cancel();
  }

  async #close(): Promise<void> {
    this.#parts.readiness.drain();
    this.#endDrain();
    const { clock, options, logger, hub } = this.#deps;
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const limitMs = options.cancelGraceMs + storageWaitMs;
    const cancel = clock.after(limitMs, () => resolve("late"));
    const ended = await Promise.race([this.#end(), late]);
    cancel();
    if (ended !== "late") return;
    // The next server takes up what is not durable now, as after a crash.
    logger.error({ limitMs }, "The storage did not answer in time; the task manager closes without it");
    hub.close(closed());
  }

  async #end(): Promise<void> {
    const { runs, intake, membership, stopSweeper, stopRecovery } = this.#parts;
    const sweeper = stopSweeper();
    const recovery = stopRecovery();
    const stopped = runs.stopAll("draining");
    // The next server finds a task that is being created only if it is durable before this server deregisters.
    await intake.close();
    await Promise.all([stopped, sweeper, recovery]);
    // Last, so that calls which wait for a turn still get its end.
    this.#deps.hub.close(closed());
    await membership.leave();
  }
}
