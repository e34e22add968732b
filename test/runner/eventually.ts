// biome-ignore lint/style/noRestrictedImports: the pause between two looks.
import { setTimeout } from "node:timers/promises";

/**
 * Looks again and again until there is something to find, and returns it: the first result that is neither undefined
 * nor false. Throws after `timeoutMs`.
 */
export async function eventually<T>(
  what: string,
  look: () => T | Promise<T>,
  { timeoutMs = 10_000, intervalMs = 20 }: { readonly timeoutMs?: number; readonly intervalMs?: number } = {},
): Promise<Exclude<T, undefined | false>> {
  for (const deadline = performance.now() + timeoutMs; ; ) {
    const found = await look();
    if (found !== undefined && found !== false) return found as Exclude<T, undefined | false>;
    if (performance.now() > deadline) throw new Error(`Not within ${timeoutMs} ms: ${what}`);
    await setTimeout(intervalMs);
  }
}
