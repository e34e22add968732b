import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { request as httpsRequest } from "node:https";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { connect as connectTls, type SecureVersion } from "node:tls";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { closeAll, http2Call, http2Client, open, tcpClient, whenClosed } from "./fixtures.ts";

afterEach(closeAll);

describe("a port with TLS", () => {
  let folder = "";
  let cert = "";
  let key = "";

  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "port-test-"));
    const files = { key: join(folder, "key.pem"), cert: join(folder, "cert.pem") };
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
      files.key,
      "-out",
      files.cert,
    ];
    execFileSync("openssl", ["req", "-x509", ...parts, ...subject], { stdio: "pipe" });
    cert = readFileSync(files.cert, "utf8");
    key = readFileSync(files.key, "utf8");
  });

  afterAll(() => rmSync(folder, { recursive: true, force: true }));

  it("offers HTTP/2 and HTTP/1.1 by ALPN, and serves a client without ALPN", async () => {
    const { number } = await open({ tls: { cert, key } });
    const session = http2Client(`https://127.0.0.1:${number}`, { ca: cert });
    expect(await http2Call(session, "/", "x".repeat(500_000))).toBe("2.0 POST / 500000");
    expect(session.alpnProtocol).toBe("h2");
    for (const ALPNProtocols of [["http/1.1"], undefined]) {
      const answer = new Promise<string>((resolve, reject) => {
        const options = {
          host: "127.0.0.1",
          port: number,
          method: "POST",
          path: "/",
          ca: cert,
          agent: false,
          ...(ALPNProtocols && { ALPNProtocols }),
        };
        httpsRequest(options, (response) => resolve(text(response)))
          .on("error", reject)
          .end("x".repeat(500_000));
      });
      expect(await answer).toBe("1.1 POST / 500000");
    }
  });

  it("speaks TLS 1.3 and 1.2, and nothing older (R187)", async () => {
    const { number } = await open({ tls: { cert, key } });
    const spoken = (version?: SecureVersion) =>
      new Promise<string | null>((resolve) => {
        const versions = version && ({ minVersion: version, maxVersion: version } as const);
        // A client that would take any cipher, so that what is refused is the version.
        const client = connectTls(
          { host: "127.0.0.1", port: number, ca: cert, ciphers: "ALL@SECLEVEL=0", ...versions },
          () => {
            resolve(client.getProtocol());
            client.destroy();
          },
        );
        client.on("error", ({ code = "" }: NodeJS.ErrnoException) => resolve(code));
      });
    expect(
      await Promise.all([undefined, "TLSv1.3", "TLSv1.2"].map((version) => spoken(version as SecureVersion))),
    ).toEqual(["TLSv1.3", "TLSv1.3", "TLSv1.2"]);
    for (const version of ["TLSv1.1", "TLSv1"] as const) expect(await spoken(version)).toMatch(/PROTOCOL_VERSION/);
  });

  it("refuses cleartext, and handshakes that don't end, and goes on", async () => {
    const { number } = await open({ tls: { cert, key }, limits: { firstBytesMs: 50 } });
    const cleartext = tcpClient(number);
    cleartext.write("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
    await whenClosed(cleartext);
    await whenClosed(tcpClient(number));
    const silent = connectTls({ host: "127.0.0.1", port: number, ca: cert });
    silent.on("error", () => undefined);
    await whenClosed(silent);
    expect(await http2Call(http2Client(`https://127.0.0.1:${number}`, { ca: cert }), "/")).toBe("2.0 POST / 0");
  });

  it("hears the answers to its PINGs", async () => {
    const { number } = await open({ tls: { cert, key }, limits: { silentMs: 20, pingAnswerMs: 500 } });
    const session = http2Client(`https://127.0.0.1:${number}`, { ca: cert });
    let pings = 0;
    // Unheard, the first answer would have ended the connection before the third question.
    await new Promise<void>((resolve, reject) => {
      session.on("ping", () => ++pings === 3 && resolve());
      session.once("close", () => reject(new Error("cut off")));
    });
    expect(await http2Call(session, "/")).toBe("2.0 POST / 0");
  });

  it("closes with handshakes, idle connections and requests open", async () => {
    const { port, number } = await open({ tls: { cert, key } });
    const handshake = tcpClient(number);
    await new Promise((resolve) => handshake.once("connect", resolve));
    const idle = http2Client(`https://127.0.0.1:${number}`, { ca: cert });
    await http2Call(idle, "/");
    await expect(port.close(10_000)).resolves.toBeUndefined();
    await Promise.all([whenClosed(handshake), whenClosed(idle)]);
  });
});
