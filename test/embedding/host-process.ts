import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";

/** A host of the handler in a process of its own. */
export interface HostProcess {
  /** Without a path. */
  readonly url: string;
  readonly pid: number | undefined;
  /** Sends SIGTERM and resolves with the exit code. */
  end(): Promise<number | null>;
}

/** Starts a command in a folder, with a free port as PORT, and resolves once it prints "ready". */
export async function startHost(folder: string, command: string, ...args: string[]): Promise<HostProcess> {
  const port = await freePort();
  const env = { ...process.env, PORT: String(port) };
  const child: ChildProcess = spawn(command, args, { cwd: folder, env, stdio: ["ignore", "pipe", "pipe"] });
  let text = "";
  const exited = once(child, "close").then(([code]) => code as number | null);
  await new Promise<void>((resolve, reject) => {
    const add = (chunk: Buffer) => {
      text += chunk;
      if (/^ready$/m.test(text)) resolve();
    };
    child.stdout?.on("data", add);
    child.stderr?.on("data", add);
    exited.then((code) => reject(new Error(`${command} ${args.join(" ")} ended with ${code}: ${text}`)), reject);
  });
  return {
    url: `http://127.0.0.1:${port}`,
    pid: child.pid,
    end() {
      child.kill("SIGTERM");
      return exited;
    },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}
