import type { CommandStartedEvent, MongoClient } from "mongodb";
import { eventually } from "../runner/eventually.ts";

/** What is sent to look after connections, and to tail the inbox. */
const background: ReadonlySet<string> = new Set([
  "hello",
  "ismaster",
  "endSessions",
  "getMore",
  "killCursors",
  "buildInfo",
  "ping",
]);

/** What a client sends to its database. */
export interface ObservedCommands {
  /** The commands sent since the last time, oldest first. */
  take(): readonly CommandStartedEvent[];
  /**
   * How many times a command was sent while no other was under way since the last `take`: the waits that follow each
   * other.
   */
  waits(): number;
  /** Resolves when no command is under way and none was sent for five looks: jobs in the background are over. */
  quiet(): Promise<void>;
}

/** `client` must have been made with `monitorCommands`. */
export function observeCommands(client: MongoClient): ObservedCommands {
  const commands: CommandStartedEvent[] = [];
  const open = new Set<number>();
  let waits = 0;
  client.on("commandStarted", (event) => {
    if (background.has(event.commandName)) return;
    commands.push(event);
    if (open.size === 0) waits += 1;
    open.add(event.requestId);
  });
  client.on("commandSucceeded", ({ requestId }) => open.delete(requestId));
  client.on("commandFailed", ({ requestId }) => open.delete(requestId));
  return {
    take: () => {
      waits = 0;
      return commands.splice(0);
    },
    waits: () => waits,
    async quiet() {
      let sent = commands.length;
      let silent = 0;
      await eventually("no command is sent", () => {
        silent = commands.length === sent && open.size === 0 ? silent + 1 : 0;
        sent = commands.length;
        return silent === 5;
      });
    },
  };
}
