import { z } from "zod";
import { entryBytesMax } from "../domain/limits.ts";
import { managerDefaults } from "../manager/options.ts";
import { storageUrlFault } from "../server/open-storage.ts";
import { type BindingName, bindingNames } from "../transport/binding-names.ts";
import { listenerLimits } from "../transport/listener/listener-limits.ts";
import { originFault } from "../transport/pages/cors.ts";
import { isLoopback } from "../transport/pages/loopback.ts";

/** What `--help` says of a setting, beside its name and default. */
export interface SettingText {
  readonly description: string;
  /** What stands for the value in `--help`; absent for a switch. */
  readonly value?: string;
}

/** The texts of the settings below, for whoever makes options of them. */
export const settingTexts = z.registry<SettingText>();

const units = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 } as const;

/** Milliseconds, from a number with a unit: without one nobody knows whether seconds or milliseconds are meant. */
function duration(leastMs: number) {
  const accepted = `a duration${leastMs > 0 ? " above 0" : ""} with its unit: 500ms, 30s, 5m, 1h, 7d`;
  return z.string().transform((given, context) => {
    const [, amount = "", unit = ""] = /^(\d+(?:\.\d+)?)(ms|s|m|h|d)$/.exec(given) ?? [];
    const ms = Number(amount) * (units[unit as keyof typeof units] ?? Number.NaN);
    if (Number.isSafeInteger(ms) && ms >= leastMs) return ms;
    context.addIssue({ code: "custom", message: accepted });
    return z.NEVER;
  });
}

/** The same the other way round, in the largest unit that gives a whole number. */
export function durationText(ms: number): string {
  const [unit, length] = Object.entries(units).findLast(([, unitMs]) => ms > 0 && ms % unitMs === 0) ?? ["ms", 1];
  return `${ms / length}${unit}`;
}

function wholeNumber(least: number, most: number) {
  const accepted = `a whole number ${most === Number.MAX_SAFE_INTEGER ? `of at least ${least}` : `from ${least} to ${most}`}`;
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
/** A switch is a flag without a value, or "true" or "false" in the environment. */
const onOff = z.enum(["true", "false"], { error: "true or false" }).transform((given) => given === "true");
const loopbackOnly =
  "an address of this machine alone (127.0.0.1, ::1, localhost), or together with --allow-anonymous: there is no authentication yet, so anybody who reaches the port may do anything";

const anonymousOnly =
  "given together with --allow-anonymous: there is no authentication yet, so anybody who reaches the port gets the extended card";

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
}, "an http or https URL without query").transform((given) => new URL(given));

/** `FILE:KID,…`. What stands behind the last colon is a key's id if it can't be a part of a path. */
function keyFiles(given: string): readonly { readonly file: string; readonly kid?: string }[] {
  return given.split(",").map((each) => {
    const [, file = each, kid] = /^(.*):([^/\\]*)$/.exec(each) ?? [];
    return { file, ...(kid !== undefined && { kid }) };
  });
}

/**
 * Everything that can be set: the type, the validator and the source of `--help` and of the environment's variables.
 * `conversationTtl` is `--conversation-ttl` and `A2A_TM_CONVERSATION_TTL`. An issue's message says what would be
 * accepted. Times come out in milliseconds.
 */
export const configSchema = z
  .strictObject({
    host: matching((given) => given !== "", "a host name or an address")
      .prefault("127.0.0.1")
      .register(settingTexts, { value: "HOST", description: "Address to listen on" }),
    port: wholeNumber(0, 65_535)
      .prefault("8080")
      .register(settingTexts, { value: "N", description: "Port for HTTP/1.1 and HTTP/2; 0: any free one" }),
    allowAnonymous: onOff.prefault("false").register(settingTexts, {
      description:
        "Serve anybody who reaches the port, on other addresses and by other names than this machine's own too",
    }),
    tlsCert: path
      .optional()
      .register(settingTexts, { value: "FILE", description: "Certificate chain, PEM; with --tls-key, for TLS" }),
    tlsKey: path.optional().register(settingTexts, { value: "FILE", description: "Private key, PEM" }),
    bindings: z
      .string()
      .transform((given, context) => {
        const names = given.split(",").map((name) => name.trim());
        if (names.every(isBindingName)) return names;
        context.addIssue({ code: "custom", message: `some of ${bindingNames.join(", ")}, with commas between` });
        return z.NEVER;
      })
      .prefault(bindingNames.join(","))
      .register(settingTexts, { value: "LIST", description: "Ways to call that are offered" }),
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
          "Origins whose pages may call from a browser, with commas between; *: all. Without it: none, others are refused",
      }),
    processor: path.optional().register(settingTexts, {
      value: "FILE",
      description:
        "Module whose default export is the agent, a MessageProcessor, JavaScript or TypeScript. Without it: a demo agent",
    }),
    card: path.optional().register(settingTexts, {
      value: "FILE",
      description: "The agent card, JSON, instead of the agent's own; what it leaves out is filled in",
    }),
    extendedCard: path.optional().register(settingTexts, {
      value: "FILE",
      description: "The extended agent card, JSON; with --allow-anonymous, since nobody is asked who he is yet",
    }),
    cardKey: z
      .string()
      .transform(keyFiles)
      .refine((keys) => keys.every(({ file, kid }) => file !== "" && kid !== ""), {
        error: "FILE or FILE:KID, several by commas",
      })
      .optional()
      .register(settingTexts, {
        value: "FILES",
        description:
          "Private keys that sign the agent card, PEM (PKCS#8) or JWK: FILE or FILE:KID, several by commas. Without a KID: the JWK's own, else the thumbprint",
      }),
    cardKeysUrl: publicUrl.optional().register(settingTexts, {
      value: "URL",
      description: "Where verifiers of the agent card find the public keys, for the signatures' jku",
    }),
    publicUrl: publicUrl.optional().register(settingTexts, {
      value: "URL",
      description: "Where clients reach the server, for the agent card. Without it: the address it listens on",
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
        description: "Where tasks are kept: sqlite:PATH, mongodb://HOST/DATABASE, or memory: for tests",
      }),
    tablePrefix: matching((given) => /^[A-Za-z0-9_]{0,32}$/.test(given), "at most 32 letters, digits and underscores")
      .prefault("a2a_")
      .register(settingTexts, { value: "NAME", description: "Begins the name of every table" }),
    maxHistoryLength: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault("100")
      .register(settingTexts, { value: "N", description: "Messages that the history of a conversation keeps" }),
    conversationTtl: duration(1).prefault(durationText(managerDefaults.conversationTtlMs)).register(settingTexts, {
      value: "TIME",
      description: "A conversation and its tasks are removed this long after the last access",
    }),
    interruptedTtl: duration(1).prefault(durationText(managerDefaults.interruptedTtlMs)).register(settingTexts, {
      value: "TIME",
      description: "How long a task that waits for input or authorization holds its conversation",
    }),
    cleanupInterval: duration(1)
      .prefault(durationText(managerDefaults.cleanupIntervalMs))
      .register(settingTexts, { value: "TIME", description: "How often expired conversations are removed" }),
    cleanup: onOff
      .prefault("true")
      .register(settingTexts, { description: "Keep what has expired on the disk; it is hidden all the same" }),
    maxRunningTasks: wholeNumber(1, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxRunningTasks))
      .register(settingTexts, { value: "N", description: "Tasks that run at once" }),
    maxQueuedTasks: wholeNumber(0, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxQueuedTasks))
      .register(settingTexts, { value: "N", description: "Tasks that wait for their place; more are refused" }),
    turnTimeout: duration(1)
      .prefault(durationText(managerDefaults.turnTimeoutMs))
      .register(settingTexts, { value: "TIME", description: "The agent has this long to answer a message" }),
    turnIdleTimeout: duration(1).prefault(durationText(managerDefaults.turnIdleTimeoutMs)).register(settingTexts, {
      value: "TIME",
      description: "The agent is stopped if nothing comes from it for this long",
    }),
    cancelGrace: duration(0).prefault(durationText(managerDefaults.cancelGraceMs)).register(settingTexts, {
      value: "TIME",
      description: "What the agent has for last events when it is told to stop",
    }),
    maxConnectionAge: duration(0).prefault("0s").register(settingTexts, {
      value: "TIME",
      description: "A connection of this age takes no more calls, so that clients spread over servers; 0s: any age",
    }),
    maxConnectionAgeGrace: duration(0).prefault(durationText(listenerLimits.ageGraceMs)).register(settingTexts, {
      value: "TIME",
      description: "Calls and streams that are open on it then are cut after this long",
    }),
    drainTimeout: duration(0)
      .prefault("10s")
      .register(settingTexts, { value: "TIME", description: "How long calls may go on after SIGTERM or SIGINT" }),
    duplicateWindow: duration(0).prefault(durationText(managerDefaults.duplicateWindowMs)).register(settingTexts, {
      value: "TIME",
      description: "A message sent again within this time joins the first; 0s: never",
    }),
    messageIds: oneOf(["lenient", "strict"]).prefault(managerDefaults.messageIds).register(settingTexts, {
      value: "MODE",
      description: "The same message id with other content: lenient takes it as a new message, strict refuses it",
    }),
    a2aVersion: oneOf(["strict", "lenient"]).prefault("strict").register(settingTexts, {
      value: "MODE",
      description:
        "An A2A call that names no version is one of 0.3 and refused (strict), or taken as one of 1.0 (lenient)",
    }),
    maxEventBytes: wholeNumber(4096, entryBytesMax)
      .prefault(String(managerDefaults.maxEventBytes))
      .register(settingTexts, { value: "N", description: "The largest message or event, bytes" }),
    maxTaskBytes: wholeNumber(4096, Number.MAX_SAFE_INTEGER)
      .prefault(String(managerDefaults.maxTaskBytes))
      .register(settingTexts, { value: "N", description: "The largest task, bytes over all its events" }),
    logLevel: oneOf(["fatal", "error", "warn", "info", "debug", "trace", "silent"])
      .prefault("info")
      .register(settingTexts, { value: "LEVEL", description: "What is logged to stderr, as JSON lines" }),
    logErrorTexts: onOff.prefault("false").register(settingTexts, {
      description: "Log the texts of errors that an agent or a library throws; they may quote what was said",
    }),
  })
  // What depends on two settings. Asked even if other settings are wrong, so that all faults are told at once; so a
  // value may be missing here.
  .superRefine(
    (config: Partial<Config>, context) => {
      const { host, allowAnonymous, tlsCert, tlsKey, extendedCard, maxEventBytes, maxTaskBytes } = config;
      const fault = (setting: keyof Config, message: string) =>
        context.addIssue({ code: "custom", path: [setting], message });
      if (tlsCert !== undefined && tlsKey === undefined)
        fault("tlsKey", "the path of a file, since --tls-cert is given");
      if (tlsKey !== undefined && tlsCert === undefined)
        fault("tlsCert", "the path of a file, since --tls-key is given");
      if (typeof host === "string" && host !== "" && allowAnonymous === false && !isLoopback(host))
        fault("host", loopbackOnly);
      if (extendedCard !== undefined && allowAnonymous === false) fault("extendedCard", anonymousOnly);
      if (Number(maxTaskBytes) < Number(maxEventBytes)) fault("maxTaskBytes", "no less than --max-event-bytes");
    },
    { when: () => true },
  );

export type Config = z.output<typeof configSchema>;
export type Setting = keyof Config;
export const settings = Object.keys(configSchema.shape) as readonly Setting[];

function isBindingName(name: string): name is BindingName {
  return (bindingNames as readonly string[]).includes(name);
}
