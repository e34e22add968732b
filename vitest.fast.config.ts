import { defineConfig } from "vitest/config";

// `npm run unit:fast`: what needs no database, no child process and no socket.
export default defineConfig({
  test: {
    include: ["test/{domain,log,stream,manager}/**/*.test.ts", "test/storage/memory.test.ts"],
    testTimeout: 60_000,
    pool: "forks",
  },
});
