import { describe, expect, it } from "vitest";
import { type Config, configSchema, durationText, settings, settingTexts } from "../../src/cli/config.ts";
import { flagOf, readConfig, variableOf } from "../../src/cli/read-config.ts";
import { managerOptions } from "../../src/cli/server-options.ts";
import { checkedOptions, managerDefaults } from "../../src/manager/options.ts";
import { isLoopback } from "../../src/transport/pages/loopback.ts";

type Env = Readonly<Record<string, string>>;

function configOf(args: readonly string[], env: Env = {}): Config {
  const result = readConfig(args, env, "1.2.3");
  if (result.kind !== "serve") throw new Error(JSON.stringify(result));
  return result.config;
}

function faultsOf(args: readonly string[], env: Env = {}): readonly string[] {
  const result = readConfig(args, env, "1.2.3");
  if (result.kind !== "faults") throw new Error(JSON.stringify(result));
  return result.faults;
}

function textOf(args: readonly string[]): string {
  const result = readConfig(args, {}, "1.2.3");
  if (result.kind !== "text") throw new Error(JSON.stringify(result));
  return result.text;
}

describe("settings that are taken", () => {
  it("are all optional, and the manager's defaults are the command's", () => {
    const config = configOf([]);
    expect(config).toMatchObject({
      host: "127.0.0.1",
      port: 8080,
      storage: "sqlite:./data/tasks.db",
      maxHistoryLength: 100,
      logLevel: "info",
      cleanup: true,
    });
    expect(managerOptions(config)).toEqual(managerDefaults);
  });

  const cases: readonly { name: string; args: readonly string[]; env?: Env; expected: Partial<Config> }[] = [
    { name: "the command by its name", args: ["serve", "--port", "1"], expected: { port: 1 } },
    { name: "a value behind an equals sign", args: ["--port=0"], expected: { port: 0 } },
    { name: "the last of a flag given twice", args: ["--port", "1", "--port", "2"], expected: { port: 2 } },
    { name: "a duration in milliseconds", args: ["--cancel-grace", "1500ms"], expected: { cancelGrace: 1500 } },
    { name: "a duration in seconds", args: ["--conversation-ttl", "30s"], expected: { conversationTtl: 30_000 } },
    {
      name: "a duration in minutes, with a fraction",
      args: ["--turn-timeout", "1.5m"],
      expected: { turnTimeout: 90_000 },
    },
    { name: "a duration in days", args: ["--interrupted-ttl", "2d"], expected: { interruptedTtl: 172_800_000 } },
    { name: "0 where that turns something off", args: ["--duplicate-window", "0s"], expected: { duplicateWindow: 0 } },
    { name: "no end of conversations", args: ["--conversation-ttl", "never"], expected: { conversationTtl: Infinity } },
    { name: "a switch", args: ["--no-cleanup"], expected: { cleanup: false } },
    { name: "a switch from the environment", args: [], env: { A2A_TM_CLEANUP: "false" }, expected: { cleanup: false } },
    { name: "a variable over a default", args: [], env: { A2A_TM_PORT: "7" }, expected: { port: 7 } },
    { name: "a flag over a variable", args: ["--port", "8"], env: { A2A_TM_PORT: "7" }, expected: { port: 8 } },
    {
      name: "a flag over a variable that is wrong",
      args: ["--port", "8"],
      env: { A2A_TM_PORT: "x" },
      expected: { port: 8 },
    },
    { name: "any host with leave to", args: ["--host", "0.0.0.0", "--allow-anonymous"], expected: { host: "0.0.0.0" } },
    {
      name: "certificate and key together",
      args: ["--tls-cert", "c", "--tls-key", "k"],
      expected: { tlsCert: "c", tlsKey: "k" },
    },
    { name: "the storage in memory", args: ["--storage", "memory:"], expected: { storage: "memory:" } },
    {
      name: "an absolute path",
      args: ["--storage", "sqlite:///data/x.db"],
      expected: { storage: "sqlite:///data/x.db" },
    },
    {
      name: "origins of all kinds",
      args: [
        "--cors-origins",
        "https://example.com, http://localhost:5173,http://192.168.0.7,null,chrome-extension://abc,*",
      ],
      expected: {
        corsOrigins: [
          "https://example.com",
          "http://localhost:5173",
          "http://192.168.0.7",
          "null",
          "chrome-extension://abc",
          "*",
        ],
      },
    },
    { name: "some bindings", args: ["--bindings", "grpc, http+json"], expected: { bindings: ["grpc", "http+json"] } },
    {
      name: "all bindings without being asked",
      args: [],
      expected: { bindings: ["grpc", "grpc-web", "connect", "http+json", "json-rpc"] },
    },
    {
      name: "an age of connections",
      args: ["--max-connection-age", "1h"],
      expected: { maxConnectionAge: 3_600_000, maxConnectionAgeGrace: 300_000 },
    },
    { name: "variables of others", args: [], env: { A2A_OTHER: "x", PORT: "y" }, expected: { port: 8080 } },
  ];

  it.each(cases)("include $name", ({ args, env, expected }) => {
    expect(configOf(args, env)).toMatchObject(expected);
  });

  it("come through to the manager, which takes every one that the schema takes", () => {
    const smallest = [
      "--cleanup-interval",
      "1ms",
      "--lease",
      "1s",
      "--conversation-ttl",
      "4s",
      "--interrupted-ttl",
      "1ms",
      "--turn-timeout",
      "1ms",
      "--turn-idle-timeout",
      "1ms",
    ];
    const zeros = [
      "--cancel-grace",
      "0s",
      "--duplicate-window",
      "0s",
      "--max-queued-tasks",
      "0",
      "--max-running-tasks",
      "1",
      "--max-attempts",
      "1",
    ];
    const options = managerOptions(
      configOf([
        ...smallest,
        ...zeros,
        "--max-event-bytes",
        "4096",
        "--max-task-bytes",
        "4096",
        "--message-ids",
        "strict",
      ]),
    );
    expect(checkedOptions(options)).toEqual({
      enableCleanup: true,
      cleanupIntervalMs: 1,
      leaseMs: 1000,
      conversationTtlMs: 4000,
      interruptedTtlMs: 1,
      maxRunningTasks: 1,
      maxAttempts: 1,
      maxQueuedTasks: 0,
      turnTimeoutMs: 1,
      turnIdleTimeoutMs: 1,
      cancelGraceMs: 0,
      duplicateWindowMs: 0,
      messageIds: "strict",
      maxEventBytes: 4096,
      maxTaskBytes: 4096,
    });
  });
});

describe("settings that are refused", () => {
  const port = "--port (A2A_TM_PORT): must be a whole number from 0 to 65535";
  const time = "with its unit: 500ms, 30s, 5m, 1h, 7d";
  const cases: readonly { name: string; args: readonly string[]; env?: Env; fault: string }[] = [
    { name: "a port that is a word", args: ["--port", "http"], fault: `${port}, not "http"` },
    { name: "a port that is too large", args: ["--port", "65536"], fault: `${port}, not "65536"` },
    { name: "a port below 0", args: ["--port=-1"], fault: `${port}, not "-1"` },
    { name: "a port with a fraction", args: ["--port", "80.5"], fault: `${port}, not "80.5"` },
    { name: "an empty port", args: ["--port", ""], fault: `${port}, not ""` },
    {
      name: "a variable",
      args: [],
      env: { A2A_TM_PORT: "x" },
      fault: 'A2A_TM_PORT (--port): must be a whole number from 0 to 65535, not "x"',
    },
    { name: "a flag without its value", args: ["--port"], fault: "--port (A2A_TM_PORT): needs a value, N" },
    {
      name: "a duration without a unit",
      args: ["--conversation-ttl", "30"],
      fault: `--conversation-ttl (A2A_TM_CONVERSATION_TTL): must be a duration above 0 ${time}; or never, not "30"`,
    },
    {
      name: "a time of conversations below four lease times",
      args: ["--conversation-ttl", "15s"],
      fault: '--conversation-ttl (A2A_TM_CONVERSATION_TTL): must be at least four times --lease, 16s, not "15s"',
    },
    {
      name: "a lease below a second",
      args: ["--lease", "500ms"],
      fault: `--lease (A2A_TM_LEASE): must be a duration of at least 1s ${time}, not "500ms"`,
    },
    {
      name: "a duration of 0 where it would be none",
      args: ["--turn-timeout", "0s"],
      fault: `--turn-timeout (A2A_TM_TURN_TIMEOUT): must be a duration above 0 ${time}, not "0s"`,
    },
    {
      name: "a strange duration",
      args: ["--cancel-grace", "1h30m"],
      fault: `--cancel-grace (A2A_TM_CANCEL_GRACE): must be a duration ${time}, not "1h30m"`,
    },
    {
      name: "an unknown storage",
      args: ["--storage", "redis://x"],
      fault:
        "--storage (A2A_TM_STORAGE): must be one of memory:, sqlite:PATH, mongodb://HOST/DATABASE, mongodb+srv://HOST/DATABASE",
    },
    {
      name: "a storage without a scheme",
      args: ["--storage", "tasks.db"],
      fault:
        "--storage (A2A_TM_STORAGE): must be one of memory:, sqlite:PATH, mongodb://HOST/DATABASE, mongodb+srv://HOST/DATABASE",
    },
    {
      name: "a storage in memory with a name",
      args: ["--storage", "memory:x"],
      fault: "--storage (A2A_TM_STORAGE): must be memory: with nothing behind it",
    },
    ...["sqlite:", "sqlite::memory:", "sqlite://data/x.db"].map((url) => ({
      name: `the file in ${url}`,
      args: ["--storage", url],
      fault: `--storage (A2A_TM_STORAGE): must be sqlite: and the path of a file, such as sqlite:./data/tasks.db`,
    })),
    {
      name: "a prefix",
      args: ["--table-prefix", "a;b"],
      fault: '--table-prefix (A2A_TM_TABLE_PREFIX): must be at most 32 letters, digits and underscores, not "a;b"',
    },
    {
      name: "a mode",
      args: ["--message-ids", "loose"],
      fault: '--message-ids (A2A_TM_MESSAGE_IDS): must be one of lenient, strict, not "loose"',
    },
    {
      name: "a log level",
      args: ["--log-level", "loud"],
      fault:
        '--log-level (A2A_TM_LOG_LEVEL): must be one of fatal, error, warn, info, debug, trace, silent, not "loud"',
    },
    {
      name: "a switch's variable",
      args: [],
      env: { A2A_TM_CLEANUP: "no" },
      fault: 'A2A_TM_CLEANUP (--no-cleanup): must be true or false, not "no"',
    },
    {
      name: "an event above the limit of every storage",
      args: ["--max-event-bytes", "12582913"],
      fault: '--max-event-bytes (A2A_TM_MAX_EVENT_BYTES): must be a whole number from 4096 to 12582912, not "12582913"',
    },
    {
      name: "a task smaller than an event",
      args: ["--max-task-bytes", "5000"],
      fault: '--max-task-bytes (A2A_TM_MAX_TASK_BYTES): must be no less than --max-event-bytes, not "5000"',
    },
    {
      name: "less room on a connection than a request needs",
      args: ["--max-connection-reading-bytes", "6000000"],
      fault:
        "--max-connection-reading-bytes (A2A_TM_MAX_CONNECTION_READING_BYTES): must be no less than a request, " +
        '1.5 × --max-event-bytes + 64 KiB, not "6000000"',
    },
    {
      name: "less room in the process than on a connection",
      args: ["--max-reading-bytes", "60000000"],
      fault:
        "--max-reading-bytes (A2A_TM_MAX_READING_BYTES): must be no less than --max-connection-reading-bytes, " +
        'not "60000000"',
    },
    {
      name: "a certificate without a key",
      args: ["--tls-cert", "c"],
      fault: "--tls-key (A2A_TM_TLS_KEY): must be the path of a file, since --tls-cert is given",
    },
    {
      name: "a key without a certificate",
      args: ["--tls-key", "k"],
      fault: "--tls-cert (A2A_TM_TLS_CERT): must be the path of a file, since --tls-key is given",
    },
    ...[
      "https://example.com/",
      "https://Example.com",
      "http://localhost:80",
      "example.com",
      "file:///x",
      "https://a.example,",
      "",
    ].map((given) => ({
      name: `the origin in "${given}"`,
      args: ["--cors-origins", given],
      fault: `--cors-origins (A2A_TM_CORS_ORIGINS): must be origins as browsers send them, with commas between: https://example.com, http://localhost:5173; or *, or null, not "${given}"`,
    })),
    ...["rest", "grpc,", "GRPC", ""].map((given) => ({
      name: `the binding in "${given}"`,
      args: ["--bindings", given],
      fault: `--bindings (A2A_TM_BINDINGS): must be a comma-separated list of grpc, grpc-web, connect, http+json, json-rpc, not "${given}"`,
    })),
    { name: "an unknown flag", args: ["--prot"], fault: "--prot: unknown option; see --help" },
    {
      name: "an unknown variable",
      args: [],
      env: { A2A_TM_PROT: "1" },
      fault: "A2A_TM_PROT: unknown variable; see --help",
    },
    {
      name: "a value of an unknown flag",
      args: ["--storag=mongodb://u:pw@h"],
      fault: "--storag: unknown option; see --help",
    },
    {
      name: "a URL without its flag",
      args: ["mongodb://u:pw@h/db"],
      fault: "Argument 1: unknown command; the only command is serve",
    },
    {
      name: "a storage and its file",
      args: ["--storage", "memory:"],
      env: { A2A_TM_STORAGE_FILE: "url" },
      fault: "--storage-file (A2A_TM_STORAGE_FILE): must be left out, since --storage (A2A_TM_STORAGE) is given",
    },
    ...[
      ["--public-url", "A2A_TM_PUBLIC_URL"],
      ["--card-keys-url", "A2A_TM_CARD_KEYS_URL"],
    ].map(([flag = "", variable]) => ({
      name: `the password in ${flag}`,
      args: [flag, "https://user:secret@host"],
      fault: `${flag} (${variable}): must be an http or https URL without user, password, query and fragment`,
    })),
    { name: "another command", args: ["run"], fault: "run: unknown command; the only command is serve" },
  ];

  it.each(cases)("include $name", ({ args, env, fault }) => {
    expect(faultsOf(args, env)).toEqual([fault]);
  });

  it.each([
    "0.0.0.0",
    "::",
    "192.168.1.1",
    "example.com",
    "127.example.com",
  ])("include the host %s without leave to serve anybody", (host) => {
    expect(isLoopback(host)).toBe(false);
    const [fault, ...others] = faultsOf(["--host", host]);
    expect(fault).toMatch(/^--host \(A2A_TM_HOST\): must be a loopback address .*--allow-anonymous.*, not ".*"$/);
    expect(others).toEqual([]);
  });

  it("are all told at once: of every kind, from flags and variables, alone and together", () => {
    const args = [
      "--port",
      "x",
      "--cleanup-interval",
      "30",
      "--storage",
      "foo:",
      "--tls-cert",
      "c",
      "--prot",
      "--max-task-bytes",
      "5000",
      "--log-level",
    ];
    const faults = faultsOf(args, { A2A_TM_HOST: "0.0.0.0", A2A_TM_PROT: "1", A2A_TM_CANCEL_GRACE: "soon" });
    const named = faults.map((fault) => fault.split(/[ :]/, 1)[0]);
    expect(named.toSorted()).toEqual(
      [
        "--port",
        "--cleanup-interval",
        "--storage",
        "--tls-key",
        "--prot",
        "--max-task-bytes",
        "--log-level",
        "A2A_TM_HOST",
        "A2A_TM_PROT",
        "A2A_TM_CANCEL_GRACE",
      ].toSorted(),
    );
  });
});

describe("--help and --version", () => {
  const help = textOf(["--help"]).replaceAll(/\s+/g, " ");

  it.each(settings)("help tells the flag, the variable, the meaning and the default of %s", (setting) => {
    const { description = "", value } = settingTexts.get(configSchema.shape[setting]) ?? {};
    const { def } = configSchema.shape[setting];
    const flag = flagOf(setting);
    const standard = value !== undefined && "defaultValue" in def ? `default ${String(def.defaultValue)}, ` : "";
    expect(description).not.toBe("");
    expect(help).toContain(
      `${value === undefined ? flag : `${flag} <${value}>`} ${description} (${standard}${variableOf(setting)})`,
    );
  });

  it("are answered whatever else is given", () => {
    expect(textOf(["serve", "--port", "x", "--help"])).toContain("Usage: a2a-task-manager");
    expect(textOf(["--version"])).toBe("1.2.3\n");
  });
});

describe("a duration as text", () => {
  it.each([
    [0, "0ms"],
    [1500, "1500ms"],
    [30_000, "30s"],
    [90_000, "90s"],
    [3_600_000, "1h"],
    [604_800_000, "7d"],
  ])("is %d ms as %s, and back again", (ms, text) => {
    expect(durationText(ms)).toBe(text);
    expect(configOf(["--drain-timeout", text]).drainTimeout).toBe(ms);
  });
});
