import { z } from "zod";
import { entryBytesMax } from "../domain/limits.ts";
import { leasesPerTtl, managerDefaults } from "../manager/options.ts";
import { storageUrlFault } from "../server/open-storage.ts";
import { type BindingName, bindingNames } from "../transport/binding-names.ts";
import { requestBytesMax } from "../transport/calls/call-limits.ts";
import { listenerLimits } from "../transport/listener/listener-limits.ts";
import { loadDefaults } from "../transport/load/load-limits.ts";
import { originFault } from "../transport/pages/cors.ts";
import { isLoopback } from "../transport/pages/loopback.ts";

/** What `--help` prints for a setting, beside its name and default. */
export interface SettingText {
  readonly description: string;
  /** The placeholder of the value in `--help`. Absent for a switch. */
  readonly value?: string;
  /** The value may hold a password: no text shows it. */
  readonly secret?: true;
}

/** The texts of the settings below. `read-config.ts` makes the options of the command line from them. */
export const settingTexts = z.registry<SettingText>();

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, from a number with a unit. The unit is required: a bare number could mean seconds or milliseconds. */
function duration(leastMs: number, word?: "never") {
  const range = leastMs > 1 ? ` of at least ${durationText(leastMs)}` : leastMs > 0 ? " above 0" : "";
  const orWord = word === undefined ? "" : `; or ${word}`;
  const accepted = `a duration${range} with its unit: 500ms, 30s, 5m, 1h, 7d${orWord}`;
  return z.string().transform((given, context) => {
    if (given === word) return Number.POSITIVE_INFINITY;
    const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(given) ?? [];
    const ms = Number(amount) * (units[unit as keyof typeof units] ?? Number.NaN);
    if (Number.isSafeInteger(ms) && ms >= leastMs) return ms;
    context.addIssue({ code: "custom", message: accepted });
    return z.NEVER;
  });
}

/** Milliseconds as a duration with its unit: the largest unit that gives a whole number. */
export function durationText(ms: number): string {
  const [unit, length] = Object.entries(units).findLast(([, unitMs]) => ms > 0 && ms % unitMs === 0) ?? ["ms", 1];
  return `${ms / length}${unit}`;
}

function wholeNumber(least: number, most: number) {
  const range = most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`;
  const accepted = `a whole number ${range}`;
  return z.string().transform((given, context) => {
    const value = /^\d+$/.test(given) ? Number(given) : Number.NaN;
    if (value >= least && value <= most) return value;
    context.addIssue({ code: "custom", message: accepted });
    return z.NEVER;
  });
}

function oneOf<const Values extends readonly [string, ...string[]]>(values: Values) {
  return z.enum(values, { error: `one of ${values.join(", ")}` });
}

function matching(accepts: (given: string) => boolean, accepted: string) {
  return z.string().refine(accepts, { error: accepted });
}

const path = matching((given) => given !== "", "the path of a file");
/** A switch: a flag without a value on the command line, "true" or "false" in the environment. */
const onOff = z.enum(["true", "false"], { error: "true or false" }).transform((given) => given === "true");
const loopbackOnly =
  "a loopback address (127.0.0.1, ::1, localhost) unless --allow-anonymous is given: there is no authentication yet, " +
  "so every client that reaches the port has full access";

const anonymousOnly =
  "given together with --allow-anonymous: there is no authentication yet, " +
  "so every client that reaches the port gets the extended card";

const publicUrl = matching((given) => {
  const url = URL.parse(given);
  return (
    url !== null &&
    /^https?:$/.test(url.protocol) &&
    url.search === "" &&
    url.hash === "" &&
    url.username === "" &&
    url.password === ""
  );
}, "an http or https URL without user, password, query and fragment").transform((given) => new URL(given));

/** `FILE:KID,…`. The text after the last colon is the key's id, unless it has a slash and so belongs to the path. */
function keyFiles(given: string): readonly { readonly file: string; readonly kid?: string }[] {
  return given.split(",").map((each) => {
    const [, file = each, kid] = /^(.*):([^/\\]*)$/.exec(each) ?? [];
    return { file, ...(kid !== undefined && { kid }) };
  });
}

/**
 * All settings: their types, validators, `--help` texts and environment variables. `conversationTtl` is
 * `--conversation-ttl` and `A2A_TM_CONVERSATION_TTL`. The message of a fault completes "must be …". Times come out in
 * milliseconds.
 */
export const configSchema = z
  .strictObject({
    host: matching((given) => given !== "", "a host name or an address")
      .prefault("127.0.0.1")
      .register(settingTexts, { value: "HOST", description: "Address to listen on" }),
    port: wholeNumber(0, 65_535)
      .prefault("8080")
      .register(settingTexts, { value: "N", description: "Port for HTTP/1.1 and HTTP/2; 0 picks a free one" }),
    allowAnonymous: onOff.prefault("false").register(settingTexts, {
      description:
        "Serve every client that reaches the port. " +
        "Needed to listen on other addresses than loopback, and to accept other Host headers",
    }),
    tlsCert: path
      .optional()
      .register(settingTexts, { value: "FILE", description: "TLS certificate chain, PEM; needs --tls-key" }),
    tlsKey: path
      .optional()
      .register(settingTexts, { value: "FILE", description: "TLS private key, PEM; needs --tls-cert" }),
    bindings: z
      .string()
      .transform((given, context) => {
        const names = given.split(",").map((name) => name.trim());
        if (names.every(isBindingName)) return names;
        context.addIssue({ code: "custom", message: `a comma-separated list of ${bindingNames.join(", ")}` });
        return z.NEVER;
      })
      .prefault(bindingNames.join(","))
      .register(settingTexts, { value: "LIST", description: "Protocols to enable, comma-separated" }),
    corsOrigins: z
      .string()
      .transform((given, context) => {
        const origins = given.split(",").map((origin) => origin.trim());
        const fault = origins.map(originFault).find((found) => found !== undefined);
        if (fault === undefined) return origins;
        context.addIssue({ code: "custom", message: fault });
        return z.NEVER;
      })
      .optional()
      .register(settingTexts, {
        value: "LIST",
        description:
          "Origins whose pages may call from a browser, comma-separated; * allows all. " +
          "Requests from other origins are rejected",
      }),
    processor: path.optional().register(settingTexts, {
      value: "FILE",
      description:
        "The agent: a JavaScript or TypeScript module whose default export is a MessageProcessor. " +
        "Without it a demo agent runs",
    }),
    card: path.optional().register(settingTexts, {
      value: "FILE",
      description: "Agent card, JSON; replaces the agent's own. The server fills in the members that it leaves out",
    }),
    extendedCard: path.optional().register(settingTexts, {
      value: "FILE",
      description: "Extended agent card, JSON. Needs --allow-anonymous, since there is no authentication yet",
    }),
    cardKey: z
      .string()
      .transform(keyFiles)
      .refine((keys) => keys.every(({ file, kid }) => file !== "" && kid !== ""), {
        error: "FILE or FILE:KID, or a comma-separated list of them",
      })
      .optional()
      .register(settingTexts, {
        value: "FILES",
        description:
          "Private keys that sign the agent card, PEM (PKCS#8) or JWK: FILE or FILE:KID, comma-separated. " +
          "The default KID is the JWK's own, else the thumbprint",
      }),
    cardKeysUrl: publicUrl.optional().register(settingTexts, {
      value: "URL",
      secret: true,
      description: "URL of the public keys, written to the jku of the card's signatures",
    }),
    publicUrl: publicUrl.optional().register(settingTexts, {
      value: "URL",
      secret: true,
      description: "URL of the server in the agent card. The default is the address that the server listens on",
    }),
    storage: z
      .string()
      .superRefine((given, context) => {
        const fault = storageUrlFault(given);
        if (fault !== undefined) context.addIssue({ code: "custom", message: fault });
      })
      .prefault("sqlite:./data/tasks.db")
      .register(settingTexts, {
        value: "URL",
        secret: true,
        description: "Database of the tasks: sqlite:PATH, mongodb://HOST/DATABASE, or memory: for tests",
      }),
    storageFile: path.optional().register(settingTexts, {
      value: "FILE",
      description: "File that holds the URL of --storage, so that a password in it appears in no list of processes",
    }),
    tablePrefix: matching((given) => /^[A-Za-z0-9_]{0,32}$/.test(given), "at most 32 letters, digits and underscores")
      .prefault("a2a_")
      .register(settingTexts, { value: "NAME", description: "Prefix of all table and collection names" }),
    maxHistoryLength: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault("100")
      .register(settingTexts, { value: "N", description: "Number of messages kept in the history of a conversation" }),
    conversationTtl: duration(1, "never")
      .prefault(durationText(managerDefaults.conversationTtlMs))
      .register(settingTexts, {
        value: "TIME",
        description: "Time from the last access to a conversation until it and its tasks expire, or never",
      }),
    lease: duration(1_000)
      .prefault(durationText(managerDefaults.leaseMs))
      .register(settingTexts, {
        value: "TIME",
        description:
          "Time without a heartbeat after which a server counts as dead; the same for all servers of a database. " +
          "--conversation-ttl is at least four times as long",
      }),
    interruptedTtl: duration(1).prefault(durationText(managerDefaults.interruptedTtlMs)).register(settingTexts, {
      value: "TIME",
      description: "Time for which a task that waits for input or authorization keeps its conversation from expiring",
    }),
    cleanupInterval: duration(1)
      .prefault(durationText(managerDefaults.cleanupIntervalMs))
      .register(settingTexts, { value: "TIME", description: "Time between two removals of expired conversations" }),
    cleanup: onOff
      .prefault("true")
      .register(settingTexts, { description: "Do not delete expired conversations (they stay invisible)" }),
    maxRunningTasks: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxRunningTasks))
      .register(settingTexts, { value: "N", description: "Number of tasks that run at the same time" }),
    maxQueuedTasks: wholeNumber(0, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxQueuedTasks))
      .register(settingTexts, { value: "N", description: "Number of tasks that wait to run; more are rejected" }),
    turnTimeout: duration(1)
      .prefault(durationText(managerDefaults.turnTimeoutMs))
      .register(settingTexts, { value: "TIME", description: "Time that the agent has for one message" }),
    turnIdleTimeout: duration(1).prefault(durationText(managerDefaults.turnIdleTimeoutMs)).register(settingTexts, {
      value: "TIME",
      description: "The agent is stopped if it yields nothing for this long",
    }),
    cancelGrace: duration(0).prefault(durationText(managerDefaults.cancelGraceMs)).register(settingTexts, {
      value: "TIME",
      description: "Time that the agent has for its last events after it was asked to stop",
    }),
    maxAttempts: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxAttempts))
      .register(settingTexts, {
        value: "N",
        description: "Runs of a turn in which servers fail, before its task is given up; for agents that resume",
      }),
    maxConnectionAge: duration(0).prefault("0s").register(settingTexts, {
      value: "TIME",
      description: "Age at which a connection takes no more calls, so that load spreads; 0s means no limit",
    }),
    maxConnectionAgeGrace: duration(0).prefault(durationText(listenerLimits.ageGraceMs)).register(settingTexts, {
      value: "TIME",
      description: "Time after --max-connection-age until open calls and streams are cut",
    }),
    drainTurns: duration(0)
      .prefault("15s")
      .register(settingTexts, {
        value: "TIME",
        description:
          "Time that running turns have to end after SIGTERM or SIGINT; 0s for SIGINT on a terminal. " +
          "The next server takes up those that are left",
      }),
    drainTimeout: duration(0)
      .prefault("10s")
      .register(settingTexts, { value: "TIME", description: "Time that open calls have after --drain-turns" }),
    duplicateWindow: duration(0).prefault(durationText(managerDefaults.duplicateWindowMs)).register(settingTexts, {
      value: "TIME",
      description: "Time in which the same message, sent again, joins the first; 0s means never",
    }),
    messageIds: oneOf(["lenient", "strict"]).prefault(managerDefaults.messageIds).register(settingTexts, {
      value: "MODE",
      description: "A known message id with other content: lenient accepts it as a new message, strict rejects it",
    }),
    a2aVersion: oneOf(["strict", "lenient"]).prefault("strict").register(settingTexts, {
      value: "MODE",
      description:
        "An A2A call without a version: strict rejects it, since A2A reads it as 0.3; lenient serves it as 1.0",
    }),
    maxEventBytes: wholeNumber(4096, entryBytesMax)
      .prefault(String(managerDefaults.maxEventBytes))
      .register(settingTexts, { value: "N", description: "Largest message or event, in bytes" }),
    maxTaskBytes: wholeNumber(4096, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxTaskBytes))
      .register(settingTexts, { value: "N", description: "Largest task, in bytes over all its events" }),
    maxReadingBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(loadDefaults.readingBytesMax))
      .register(settingTexts, {
        value: "N",
        description: "Bytes of requests that are being read, of all clients; the newest requests beyond are rejected",
      }),
    maxConnectionReadingBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(loadDefaults.connectionReadingBytesMax))
      .register(settingTexts, { value: "N", description: "The same on one connection" }),
    maxAnswerBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(loadDefaults.answerBytesMax))
      .register(settingTexts, {
        value: "N",
        description:
          "Bytes that large answers hold until their clients have them, those of one task once. " +
          "Further ones wait 10 s, then RESOURCE_EXHAUSTED",
      }),
    maxConnectionAnswerBytes: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(loadDefaults.connectionAnswerBytesMax))
      .register(settingTexts, { value: "N", description: "The same for the answers on one connection" }),
    logLevel: oneOf(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
      .prefault("info")
      .register(settingTexts, { value: "LEVEL", description: "Least level of the log, which goes to stderr" }),
    logFormat: oneOf(["pretty", "json"]).optional().register(settingTexts, {
      value: "FORMAT",
      description: "Form of the log: pretty or json, one object a line. The default is pretty on a terminal, else json",
    }),
    logErrorTexts: onOff.prefault("false").register(settingTexts, {
      description:
        "Log the messages of errors that an agent or a library throws; they may quote user data. " +
        "Always on with --processor on a loopback address",
    }),
  })
  // Rules about two settings. They run even if other settings are invalid, so that all faults are reported at once.
  // That is why each value may be missing here.
  .superRefine(
    (config: Partial<Config>, context) => {
      const { host, allowAnonymous, tlsCert, tlsKey, extendedCard, conversationTtl, lease } = config;
      const { maxEventBytes, maxTaskBytes, maxReadingBytes, maxConnectionReadingBytes } = config;
      const fault = (setting: keyof Config, message: string) =>
        context.addIssue({ code: "custom", path: [setting], message });
      if (tlsCert !== undefined && tlsKey === undefined)
        fault("tlsKey", "the path of a file, since --tls-cert is given");
      if (tlsKey !== undefined && tlsCert === undefined)
        fault("tlsCert", "the path of a file, since --tls-key is given");
      if (typeof host === "string" && host !== "" && allowAnonymous === false && !isLoopback(host))
        fault("host", loopbackOnly);
      if (extendedCard !== undefined && allowAnonymous === false) fault("extendedCard", anonymousOnly);
      if (Number(conversationTtl) < leasesPerTtl * Number(lease))
        fault("conversationTtl", `at least four times --lease, ${durationText(leasesPerTtl * Number(lease))}`);
      if (Number(maxTaskBytes) < Number(maxEventBytes)) fault("maxTaskBytes", "no less than --max-event-bytes");
      if (Number(maxConnectionReadingBytes) < requestBytesMax(Number(maxEventBytes)))
        fault("maxConnectionReadingBytes", "no less than a request, 1.5 × --max-event-bytes + 64 KiB");
      if (Number(maxReadingBytes) < Number(maxConnectionReadingBytes))
        fault("maxReadingBytes", "no less than --max-connection-reading-bytes");
    },
    { when: () => true },
  );

export type Config = z.output<typeof configSchema>;
export type Setting = keyof Config;
export const settings = Object.keys(configSchema.shape) as readonly Setting[];

function isBindingName(name: string): name is BindingName {
  return (bindingNames as readonly string[]).includes(name);
}
