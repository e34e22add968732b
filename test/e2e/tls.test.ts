import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { A2AService, TaskState } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { userMessage } from "./call-fixtures.ts";
import { type ServeProcess, startServer } from "./serve-process.ts";

/** The real server with a certificate: every protocol over every version of HTTP, agreed on by ALPN. */

let folder: string;
let server: ServeProcess;
let ca: Buffer;

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "a2a-tls-"));
  const [cert, key] = [join(folder, "cert.pem"), join(folder, "key.pem")];
  const subject = ["-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"];
  const parts = [
    "-newkey",
    "ec",
    "-pkeyopt",
    "ec_paramgen_curve:prime256v1",
    "-nodes",
    "-days",
    "1",
    "-keyout",
    key,
    "-out",
    cert,
  ];
  execFileSync("openssl", ["req", "-x509", ...parts, ...subject], { stdio: "pipe" });
  ca = readFileSync(cert);
  server = await startServer(["--storage", "memory:", "--tls-cert", cert, "--tls-key", key]);
});

afterAll(async () => {
  await server.end("SIGKILL");
  rmSync(folder, { recursive: true, force: true });
});

const interceptors: Interceptor[] = [
  (next) => (request) => {
    request.header.set("A2A-Version", "1.0");
    return next(request);
  },
];

const transports: readonly { readonly name: string; readonly make: () => Transport }[] = [
  { name: "gRPC", make: () => createGrpcTransport({ baseUrl: server.url.origin, interceptors, nodeOptions: { ca } }) },
  {
    name: "gRPC-Web over HTTP/1.1",
    make: () =>
      createGrpcWebTransport({ baseUrl: server.url.origin, httpVersion: "1.1", interceptors, nodeOptions: { ca } }),
  },
  {
    name: "Connect over HTTP/2",
    make: () =>
      createConnectTransport({ baseUrl: server.url.origin, httpVersion: "2", interceptors, nodeOptions: { ca } }),
  },
];

it.each(transports)("streams to their end over $name, encrypted", async ({ make }) => {
  const client: Client<typeof A2AService> = createClient(A2AService, make());
  let last: TaskState | undefined;
  for await (const { payload } of client.sendStreamingMessage({ message: userMessage("stream 20") })) {
    if (payload.case === "statusUpdate") last = payload.value.status?.state;
  }
  expect([server.url.protocol, last]).toEqual(["https:", TaskState.COMPLETED]);
});
