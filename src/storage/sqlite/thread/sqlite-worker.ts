import { MessagePort, parentPort, receiveMessageOnPort, workerData } from "node:worker_threads";
import { storageErrorOf, toWire } from "../errors.ts";
import { groupBytesMax, groupOperationsMax, readGroupOperationsMax } from "../limits.ts";
import { openReader, openWriter } from "./connection.ts";
import { createContext, type SqliteContext } from "./context.ts";
import { watchFiles } from "./database-files.ts";
import { runReads } from "./group.ts";
import { createGroupWriter, failingOn } from "./group-writer.ts";
import { type DatabaseLock, lockDatabase, lockPathOf } from "./lock.ts";
import { readerOperations } from "./operations.ts";
import type { Call, FromWorker, Reply, ToWorker, WorkerTask } from "./protocol.ts";

/**
 * The entry of both worker threads. A worker carries out calls in groups. The calls that arrive while one group is
 * carried out, above all while its COMMIT waits for the disk, are the next group.
 */
function start(port: MessagePort, { role, file, prefix, maxHistoryLength }: WorkerTask): void {
  let context: SqliteContext;
  let runGroup: (calls: readonly Call[]) => readonly Reply[];
  let lock: DatabaseLock | undefined;
  try {
    // Before the database is opened, and until it is closed: no two servers migrate, recover or write it at once.
    lock = role === "writer" ? lockDatabase(file, prefix) : undefined;
    context = createContext(role === "writer" ? openWriter(file, prefix) : openReader(file), {
      prefix,
      maxHistoryLength,
    });
    const checkFiles = watchFiles([file, `${file}-wal`, lockPathOf(file, prefix)]);
    runGroup =
      role === "writer"
        ? createGroupWriter(context, file, checkFiles)
        : (calls) => failingOn(checkFiles, calls) ?? runReads(context, readerOperations, calls);
  } catch (error) {
    lock?.release();
    post(port, { failed: toWire(storageErrorOf(error)) });
    return;
  }
  const operationsMax = role === "writer" ? groupOperationsMax : readGroupOperationsMax;
  let waiting: Call[] = [];
  let closing = false;
  // On Deno 2.9 the port of a thread's parent isn't one that can be asked: there each message is a group.
  const nextMessage = () => (port instanceof MessagePort ? receiveMessageOnPort(port) : undefined);

  port.on("message", (message: ToWorker) => {
    receive(message);
    for (;;) {
      // Without this, each message would wait for a turn of the event loop, and each would be a group of its own.
      for (let more = nextMessage(); more !== undefined; more = nextMessage()) receive(more.message as ToWorker);
      if (waiting.length === 0) {
        break;
      }
      const replies = runGroup(waiting.slice(0, groupSize(waiting, operationsMax)));
      waiting = waiting.slice(replies.length);
      post(port, replies, [...context.handedOver]);
      context.handedOver.clear();
    }
    if (closing) {
      context.db.close();
      lock?.release();
      end(port);
    }
  });
  post(port, "ready");

  function receive(message: ToWorker): void {
    if (message === "close") {
      closing = true;
    } else {
      waiting.push(...message);
    }
  }
}

/** How many calls from the front make a group: as many as the bounds allow, at least one. */
function groupSize(calls: readonly Call[], operationsMax: number): number {
  let bytes = 0;
  let size = 0;
  for (const call of calls) {
    bytes += call.bytes;
    if (size > 0 && (size >= operationsMax || bytes > groupBytesMax)) {
      break;
    }
    size += 1;
  }
  return size;
}

/** Ends the thread. On Deno 2.9 the port of a thread's parent has no `close`, but a thread has. */
function end(port: MessagePort): void {
  if (port instanceof MessagePort) port.close();
  else (globalThis as unknown as { close(): void }).close();
}

function post(port: MessagePort, message: FromWorker, transfer: ArrayBuffer[] = []): void {
  port.postMessage(message, transfer);
}

if (parentPort !== null) {
  start(parentPort, workerData as WorkerTask);
}
