import { createMemoryStorage } from "../../src/storage/memory/storage.ts";
import type { Storage } from "../../src/storage/storage.ts";
import { settle } from "../runtime/manual-clock.ts";
import { FaultyStorage } from "../storage/faulty-storage.ts";
import { ScriptedAgent, type Setup, setup } from "./fixtures.ts";

/**
 * A server whose clock stands still, so that it neither beats nor times out: for the one started after it, it is dead.
 */
export async function crashed(
  prepare: (first: Setup, agent: ScriptedAgent) => Promise<void>,
  options = {},
): Promise<{ storage: Storage; first: Setup; agent: ScriptedAgent }> {
  const storage = createMemoryStorage();
  const agent = new ScriptedAgent();
  const first = await setup(agent, { faulty: new FaultyStorage(storage), options });
  await prepare(first, agent);
  await settle();
  return { storage, first, agent };
}

export async function restarted(storage: Storage, agent: ScriptedAgent): Promise<Setup> {
  const second = await setup(agent, { faulty: new FaultyStorage(storage) });
  await settle(5);
  return second;
}
