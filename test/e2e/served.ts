import { createServer, type Server } from "../../src/server/server.ts";
import type { ServerOptions } from "../../src/server/server-options.ts";
import { createMemoryStorage } from "../../src/storage/memory/storage.ts";

/**
 * A server in this process, on a free port and a storage in memory that ends with it. Its end gives turns no time
 * unless the options do.
 */
export interface Served extends AsyncDisposable {
  readonly url: URL;
  readonly manager: Server["manager"];
}

export async function served(options: Omit<ServerOptions, "storage" | "listener">): Promise<Served> {
  const storage = createMemoryStorage();
  const server = await createServer({ drainTurnsMs: 0, ...options, storage, listener: { port: 0 } });
  await server.listen();
  return {
    url: server.url,
    manager: server.manager,
    async [Symbol.asyncDispose]() {
      await server[Symbol.asyncDispose]();
      await storage[Symbol.asyncDispose]();
    },
  };
}
