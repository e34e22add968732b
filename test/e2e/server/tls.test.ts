import { execFileSync } from "node:child_process";
import { X509Certificate } from "node:crypto";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import { type Client, createClient, type Interceptor, type Transport } from "@connectrpc/connect";
import { createConnectTransport, createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { A2AService, TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { userMessage } from "../calls/call-fixtures.ts";
import { type ServeProcess, startServer } from "../serve-process.ts";

/** The real server with a certificate: every protocol over every version of HTTP, agreed on by ALPN. */

let folder: string;
let files: { readonly cert: string; readonly key: string };
let server: ServeProcess;
let ca: Buffer;

/** Writes a new key and a certificate for it to the files of the server. */
function makeCertificate(): void {
  const { cert, key } = files;
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
}

beforeAll(async () => {
  folder = mkdtempSync(join(tmpdir(), "a2a-tls-"));
  files = { cert: join(folder, "cert.pem"), key: join(folder, "key.pem") };
  makeCertificate();
  ca = readFileSync(files.cert);
  server = await startServer(["--storage", "memory:", "--tls-cert", files.cert, "--tls-key", files.key]);
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

/** The certificate that a new connection is given. */
function servedCertificate(): Promise<string> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ host: "127.0.0.1", port: Number(server.url.port), rejectUnauthorized: false }, () => {
      resolve(socket.getPeerX509Certificate()?.fingerprint256 ?? "none");
      socket.destroy();
    });
    socket.on("error", reject);
  });
}

const fingerprint = () => new X509Certificate(readFileSync(files.cert)).fingerprint256;

it("a new certificate is served from SIGHUP on, an open stream goes on, and a bad one changes nothing", async () => {
  const transport = createGrpcTransport({ baseUrl: server.url.origin, interceptors, nodeOptions: { ca } });
  const client = createClient(A2AService, transport);
  const call = client.sendStreamingMessage({ message: userMessage("ask why") })[Symbol.asyncIterator]();
  const first = (await call.next()).value?.payload;
  const before = fingerprint();
  expect(await servedCertificate()).toBe(before);
  makeCertificate();
  const after = fingerprint();
  expect(after).not.toBe(before);
  server.signal("SIGHUP");
  await expect.poll(servedCertificate, { timeout: 30_000 }).toBe(after);
  // The same connection, with the old certificate.
  expect(first?.case).toBe("task");
  expect((await call.next()).done).toBe(false);
  writeFileSync(files.cert, "no certificate");
  server.signal("SIGHUP");
  await expect.poll(server.stderr, { timeout: 30_000 }).toContain("The TLS certificate stays");
  expect(await servedCertificate()).toBe(after);
});
