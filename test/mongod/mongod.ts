import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, mkdtemp, readFile, rm } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { MongoClient } from "mongodb";
import { eventually } from "../runner/eventually.ts";
import { findMongod, versionOf } from "./mongod-binary.ts";

/**
 * What makes mongod small, quick to start and testable: TTL passes every second, failpoints, 32 MB of journal instead
 * of 315 MB.
 */
const flags = [
  ...[
    "--bind_ip",
    "127.0.0.1",
    "--nounixsocket",
    "--wiredTigerCacheSizeGB",
    "0.25",
    "--oplogSize",
    "128",
    "--syncdelay",
    "5",
  ],
  ...["--wiredTigerEngineConfigString", "log=(file_max=10MB)", "--setParameter", "ttlMonitorSleepSecs=1"],
  ...["--setParameter", "enableTestCommands=1", "--setParameter", "diagnosticDataCollectionEnabled=false"],
];
const startMs = 60_000;

/** One mongod. It can be stopped hard, started again on the same data, and paused. */
export class Mongod {
  readonly port: number;
  readonly #binary: string;
  readonly #folder: string;
  readonly #flags: readonly string[];
  #process: ChildProcess | undefined;

  constructor(binary: string, folder: string, port: number, more: readonly string[]) {
    this.port = port;
    this.#binary = binary;
    this.#folder = folder;
    this.#flags = more;
  }

  get host(): string {
    return `127.0.0.1:${this.port}`;
  }

  get directUri(): string {
    return `mongodb://${this.host}/?directConnection=true`;
  }

  /** What it logged since it was started last. */
  log(): Promise<string> {
    return readFile(this.#logFile, "utf8");
  }

  get #logFile(): string {
    return join(this.#folder, "mongod.log");
  }

  async start(): Promise<void> {
    await mkdir(this.#folder, { recursive: true });
    const args = [
      "--dbpath",
      this.#folder,
      "--port",
      String(this.port),
      "--logpath",
      this.#logFile,
      ...flags,
      ...this.#flags,
    ];
    const child = spawn(this.#binary, args, { stdio: "ignore" });
    this.#process = child;
    let failure: Error | undefined;
    child.once("error", (error) => {
      failure = error;
    });
    // A driver that meets a closed port waits for a heartbeat, so the port is awaited first.
    const isUp = async () => {
      if (failure !== undefined || child.exitCode !== null) throw failure ?? new Error(`Exit code ${child.exitCode}`);
      return isOpen(this.port);
    };
    await eventually("mongod listens", isUp, { timeoutMs: startMs }).catch(async (cause: unknown) => {
      const log = await this.log().catch(() => "");
      throw new Error(`mongod did not start\n${log.slice(-2000)}`, { cause });
    });
  }

  /** Ends it at once, as a crash would. */
  async kill(): Promise<void> {
    const child = this.#process;
    this.#process = undefined;
    if (child !== undefined && child.exitCode === null && child.signalCode === null) {
      const exited = once(child, "exit");
      child.kill("SIGCONT");
      child.kill("SIGKILL");
      await exited;
    }
  }

  /** Whether it was started and not killed since. */
  get running(): boolean {
    return this.#process !== undefined;
  }

  /** Stops it in its tracks until `resume`: to the others, a network that is cut. */
  pause(): void {
    this.#process?.kill("SIGSTOP");
  }

  resume(): void {
    this.#process?.kill("SIGCONT");
  }
}

/** A replica set of a test run's own, with its data in the temporary folder. */
export interface MongodSet extends AsyncDisposable {
  readonly uri: string;
  readonly version: string;
  readonly nodes: readonly Mongod[];
}

/**
 * Starts a replica set of so many nodes and waits until it has a primary. Three settle a failover in about two seconds.
 */
export async function startMongodSet(size: 1 | 3): Promise<MongodSet> {
  const binary = await findMongod();
  const folder = await mkdtemp(join(tmpdir(), "a2a-mongod-"));
  const nodes: Mongod[] = [];
  const close = async () => {
    await Promise.all(nodes.map((node) => node.kill()));
    await rm(folder, { recursive: true, force: true });
  };
  try {
    for (let index = 0; index < size; index++) {
      const node = new Mongod(binary, join(folder, `node-${index}`), await freePort(), ["--replSet", "rs0"]);
      nodes.push(node);
      await node.start();
    }
    await initiate(nodes);
  } catch (error) {
    await close();
    throw error;
  }
  const uri = `mongodb://${nodes.map(({ host }) => host).join(",")}/?replicaSet=rs0`;
  return { uri, version: await versionOf(binary), nodes, [Symbol.asyncDispose]: close };
}

/** Starts one mongod that belongs to no replica set. */
export async function startStandalone(): Promise<MongodSet> {
  const binary = await findMongod();
  const folder = await mkdtemp(join(tmpdir(), "a2a-mongod-"));
  const node = new Mongod(binary, join(folder, "node"), await freePort(), []);
  await node.start();
  const close = async () => {
    await node.kill();
    await rm(folder, { recursive: true, force: true });
  };
  return {
    uri: `mongodb://${node.host}/`,
    version: await versionOf(binary),
    nodes: [node],
    [Symbol.asyncDispose]: close,
  };
}

async function initiate(nodes: readonly Mongod[]): Promise<void> {
  const [first] = nodes;
  if (first === undefined) throw new Error("A replica set has a node at least");
  const client = new MongoClient(first.directUri);
  try {
    const members = nodes.map(({ host }, _id) => ({ _id, host, priority: _id === 0 ? 2 : 1 }));
    await client.db("admin").command({
      replSetInitiate: {
        _id: "rs0",
        members,
        settings: { electionTimeoutMillis: 2000, heartbeatIntervalMillis: 500 },
      },
    });
    await eventually(
      "the replica set has a primary",
      async () => (await client.db("admin").command({ hello: 1 })).isWritablePrimary === true,
      { timeoutMs: startMs },
    );
  } finally {
    await client.close();
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

function isOpen(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(port, "127.0.0.1");
    const end = (open: boolean) => {
      socket.destroy();
      resolve(open);
    };
    socket.once("connect", () => end(true));
    socket.once("error", () => end(false));
  });
}
