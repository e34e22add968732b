import { type Setting, settings } from "./config.ts";

/** The settings as `--help` shows them: by purpose, in this order. */
const groups: Readonly<Record<string, readonly Setting[]>> = {
  "Address and access:": ["host", "port", "allowAnonymous", "tlsCert", "tlsKey", "corsOrigins"],
  "Agent:": ["processor", "turnTimeout", "turnIdleTimeout", "cancelGrace", "maxAttempts"],
  "Agent card:": ["card", "extendedCard", "cardKey", "cardKeysUrl", "publicUrl"],
  "Protocols and messages:": ["bindings", "a2aVersion", "duplicateWindow", "messageIds"],
  "Storage:": ["storage", "storageFile", "tablePrefix", "maxHistoryLength", "lease"],
  "Expiry:": ["conversationTtl", "interruptedTtl", "cleanupInterval", "cleanup"],
  "Limits:": [
    ...(["maxRunningTasks", "maxQueuedTasks", "maxEventBytes", "maxTaskBytes", "maxReadingBytes"] as const),
    ...(["maxConnectionReadingBytes", "maxAnswerBytes", "maxConnectionAnswerBytes"] as const),
    ...(["maxConnectionAge", "maxConnectionAgeGrace"] as const),
  ],
  "Shutdown:": ["drainTurns", "drainTimeout"],
  "Log:": ["logLevel", "logFormat", "logErrorTexts"],
};

/** Every setting with its group, in the order of the help. A setting that no group names is in the last one. */
export const grouped: readonly { readonly setting: Setting; readonly group: string }[] = [
  ...Object.entries(groups).flatMap(([group, members]) => members.map((setting) => ({ setting, group }))),
  ...settings
    .filter((setting) => !Object.values(groups).flat().includes(setting))
    .map((setting) => ({ setting, group: "Others:" })),
];
