#!/usr/bin/env node
// The command. It is the only file of src that uses `process`.
import { readFileSync } from "node:fs";
import { type DestinationStream, pino } from "pino";
import { systemClock } from "../runtime/clock.ts";
import { MissingDriverError, openStorage, shownStorageUrl } from "../server/open-storage.ts";
import { createServer, type Server } from "../server/server.ts";
import { StorageError } from "../storage/storage-error.ts";
import { isLoopback } from "../transport/pages/loopback.ts";
import { banner } from "./banner.ts";
import type { Config } from "./config.ts";
import { loadCard, loadCardKey } from "./load-card.ts";
import { loadProcessor } from "./load-processor.ts";
import { prettyLine } from "./pretty-log.ts";
import { readConfig } from "./read-config.ts";
import { createServerLog } from "./server-log.ts";
import { endLimitMs, serverOptions, storageOptions } from "./server-options.ts";
import { readStorageUrl } from "./storage-url.ts";
import { readTlsFiles, type Tls, type TlsFiles, watchTlsFiles } from "./tls-files.ts";

/** A fault that the user must correct before the server can start. Printed in one line, without a stack. */
class StartError extends Error {
  readonly exitCode: number;
  constructor(message: string, exitCode: number, cause: unknown) {
    super(message, { cause });
    this.exitCode = exitCode;
  }
}

const endSignals = ["SIGTERM", "SIGINT"] as const;

const invocation = readConfig(process.argv.slice(2), process.env, versionOf());
// Replaces the arguments in the list of processes: the URL of a storage may hold a password.
process.title = "a2a-task-manager";
switch (invocation.kind) {
  case "text":
    process.stdout.write(invocation.text);
    break;
  case "faults":
    for (const fault of invocation.faults) process.stderr.write(`${fault}\n`);
    process.exitCode = 2;
    break;
  case "serve":
    await serve(invocation.config).catch((error: unknown) => {
      if (!(error instanceof StartError)) throw error;
      process.stderr.write(`${error.message}\n`);
      process.exit(error.exitCode);
    });
    break;
  default:
    invocation satisfies never;
}

async function serve(config: Config): Promise<void> {
  const logger = createServerLog(
    { level: config.logLevel, errorTexts: config.logErrorTexts || isAuthorsOwn(config) },
    logDestination(config),
  );
  // Signals end the process at once until it serves. A listener is needed for that: the first process of a container
  // ignores signals for which it has none.
  const endAtOnce = () => process.exit(130);
  for (const signal of endSignals) process.once(signal, endAtOnce);
  for (const event of ["uncaughtException", "unhandledRejection"] as const) {
    process.on(event, (error) => {
      logger.fatal({ err: error }, "The server ends because of an unhandled error");
      process.exit(1);
    });
  }
  const processor = await loadProcessor(config.processor).catch(startError("--processor", 2));
  const card = await readCard("--card", config.card);
  const extendedCard = await readCard("--extended-card", config.extendedCard);
  const cardKeys = await Promise.all((config.cardKey ?? []).map(loadCardKey)).catch(startError("--card-key", 2));
  const tlsFiles = tlsFilesOf(config);
  const tls = tlsFiles && readTls(tlsFiles);
  const storageUrl = readUrl(config);
  const openOptions = { ...storageOptions(config), logger };
  const storage = await openStorage(storageUrl, openOptions).catch((error: unknown) =>
    startError(`Storage ${shownStorageUrl(storageUrl)}`, error instanceof MissingDriverError ? 2 : 1)(error),
  );
  const files = { card, extendedCard, cardKeys, tls };
  const server = await createServer({ ...serverOptions(config, files), processor, storage, logger }).catch(
    startError("Cannot create the server", 1),
  );
  await server.listen().catch(startError(`${config.host}:${config.port}`, 1));
  if (tlsFiles !== undefined && tls !== undefined) {
    const reload = watchTlsFiles(tlsFiles, tls, (next) => server.replaceTls(next), { clock: systemClock, logger });
    process.on("SIGHUP", reload);
  }
  const stopped = new Promise<NodeJS.Signals>((resolve) => {
    for (const signal of endSignals) {
      process.off(signal, endAtOnce);
      process.once(signal, () => {
        logger.info({ signal }, "The server drains");
        resolve(signal);
      });
    }
  });
  logger.info({ address: server.url.origin }, "The server is ready");
  if (process.stderr.isTTY) process.stderr.write(banner(config, server.url, storageUrl, versionOf()));
  const why = await Promise.race([stopped, replaced(server)]);
  // Ctrl-C: somebody waits in front of the terminal.
  const turnsMs = why === "SIGINT" && process.stdin.isTTY ? 0 : config.drainTurns;
  // A storage that doesn't answer must not keep the process alive.
  const limitMs = endLimitMs(config, turnsMs);
  // And a drain may wait for a connection that keeps no process alive: this timer does, until the connection is cut.
  setTimeout(() => {
    logger.fatal({ limitMs }, "The server did not stop in time");
    process.exit(1);
  }, limitMs);
  // A second signal ends the process at once.
  for (const signal of endSignals) process.removeAllListeners(signal).once(signal, endAtOnce);
  await server.drain(turnsMs);
  await storage[Symbol.asyncDispose]();
  logger.info({}, "The server has stopped");
  process.exit(why === "replaced" ? 1 : 0);
}

/** Resolves when another server has taken over the database. */
async function replaced({ manager: { readiness } }: Server): Promise<"replaced"> {
  const never = new AbortController().signal;
  while (readiness.state !== "replaced") await readiness.changed(never);
  return "replaced";
}

/** Whether only somebody at this machine can call an agent of their own: then its errors are shown whole. */
function isAuthorsOwn({ processor, host }: Config): boolean {
  return processor !== undefined && isLoopback(host);
}

/** Where the log goes: written at once, since the process may end at any time. */
function logDestination({ logFormat = process.stderr.isTTY ? "pretty" : "json" }: Config): DestinationStream {
  const stderr = pino.destination({ fd: 2, sync: true });
  return logFormat === "json" ? stderr : { write: (line) => void stderr.write(prettyLine(line)) };
}

function startError(what: string, exitCode: number): (error: unknown) => never {
  return (error) => {
    const { code } = error as { readonly code?: string };
    const why = code === "EADDRINUSE" ? "the port is in use; choose another with --port" : reasonOf(error);
    // Texts of libraries may have several lines.
    throw new StartError(`${what}: ${why}`.replaceAll(/\s+/g, " "), exitCode, error);
  };
}

/**
 * The message of an error, and of its cause if that is an error of the storage or of the operating system. Messages of
 * other causes may hold a password.
 */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const { message, cause } = error;
  return cause instanceof StorageError || (cause instanceof Error && "syscall" in cause)
    ? `${message}: ${reasonOf(cause)}`
    : message;
}

async function readCard(flag: string, file: string | undefined) {
  return file === undefined ? undefined : loadCard(file).catch(startError(`${flag} "${file}"`, 2));
}

function readUrl(config: Config): string {
  try {
    return readStorageUrl(config);
  } catch (error) {
    return startError(`--storage-file "${config.storageFile}"`, 2)(error);
  }
}

function tlsFilesOf({ tlsCert, tlsKey }: Config): TlsFiles | undefined {
  return tlsCert === undefined || tlsKey === undefined ? undefined : { cert: tlsCert, key: tlsKey };
}

function readTls(files: TlsFiles): Tls {
  try {
    return readTlsFiles(files);
  } catch (error) {
    throw new StartError(reasonOf(error).replaceAll(/\s+/g, " "), 2, error);
  }
}

function versionOf(): string {
  // The first place is that of a checkout, the second that of the package, where dist/ lies between.
  for (const place of ["../../package.json", "../../../package.json"]) {
    try {
      return JSON.parse(readFileSync(new URL(place, import.meta.url), "utf8")).version;
    } catch {
      // Not there: the next place is tried.
    }
  }
  return "unknown";
}
