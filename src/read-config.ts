import { Command, Option } from "commander";
import { type Config, configSchema, type Setting, settings, settingTexts } from "./config.ts";

export const variablePrefix = "A2A_TM_";

/** `conversationTtl` → `--conversation-ttl`. */
export function flagOf(setting: Setting): string {
  return `--${kebab(setting)}`;
}

/** `conversationTtl` → `A2A_TM_CONVERSATION_TTL`. */
export function variableOf(setting: Setting): string {
  return variablePrefix + kebab(setting).replaceAll("-", "_").toUpperCase();
}

function kebab(setting: Setting): string {
  return setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What the command line and the environment say. */
export type Invocation =
  | { readonly kind: "serve"; readonly config: Config }
  /** Print and end well: `--help`, `--version`. */
  | { readonly kind: "text"; readonly text: string }
  /** Everything that is wrong, a line each. */
  | { readonly kind: "faults"; readonly faults: readonly string[] };

/** Flags go before variables, variables before defaults. */
export function readConfig(args: readonly string[], env: Readonly<Record<string, string | undefined>>, version: string): Invocation {
  const flags = parseFlags(args, version);
  if (flags.kind === "text") return flags;
  const known = new Map(settings.map((setting) => [variableOf(setting), setting]));
  const faults = [...flags.faults];
  const given: Partial<Record<Setting, string>> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(variablePrefix) || value === undefined) continue;
    const setting = known.get(name);
    if (setting === undefined) faults.push(`${name}: no such variable; see --help`);
    else given[setting] = value;
  }
  const fromFlags = new Set(Object.keys(flags.given));
  const result = configSchema.safeParse({ ...given, ...flags.given });
  if (result.success && faults.length === 0) return { kind: "serve", config: result.data };
  for (const issue of result.error?.issues ?? []) {
    const setting = issue.path[0] as Setting;
    const value = fromFlags.has(setting) ? flags.given[setting] : given[setting];
    const name = value !== undefined && !fromFlags.has(setting) ? variableOf(setting) : flagOf(setting);
    faults.push(`${name}: must be ${issue.message}${value === undefined ? "" : `, not "${value}"`}`);
  }
  return { kind: "faults", faults };
}

type Flags =
  | { readonly kind: "text"; readonly text: string }
  | { readonly kind: "flags"; readonly given: Readonly<Partial<Record<Setting, string>>>; readonly faults: readonly string[] };

/** Takes the command line apart by commander, one option per setting; values stay strings for the schema to judge. */
function parseFlags(args: readonly string[], version: string): Flags {
  let text = "";
  const command = new Command("a2a-task-manager")
    .description("A task manager service for the Agent2Agent (A2A) protocol: gRPC, gRPC-Web and Connect on one port")
    .usage("[serve] [options]")
    .argument("[command]", "serve")
    .version(version)
    .allowUnknownOption()
    .allowExcessArguments()
    .exitOverride()
    .configureOutput({
      writeOut(written) {
        text += written;
      },
      writeErr() {},
    });
  for (const setting of settings) command.addOption(optionOf(setting));
  try {
    command.parse([...args], { from: "user" });
  } catch (error) {
    if (text !== "") return { kind: "text", text };
    return { kind: "flags", given: {}, faults: [error instanceof Error ? error.message.replace(/^error: /, "") : String(error)] };
  }
  const faults = command.args.flatMap((word, index) => {
    if (word.startsWith("-")) return [`${word}: no such option; see --help`];
    return index === 0 && word === "serve" ? [] : [`${word}: unexpected; the one command is serve`];
  });
  const given: Partial<Record<Setting, string>> = {};
  for (const setting of settings) {
    if (command.getOptionValueSource(setting) === "cli") given[setting] = String(command.opts()[setting]);
  }
  return { kind: "flags", given, faults };
}

function optionOf(setting: Setting): Option {
  const schema = configSchema.shape[setting];
  const { description = "", value } = settingTexts.get(schema) ?? {};
  const standard = defaultOf(setting);
  const note = [standard === undefined || value === undefined ? undefined : `default ${standard}`, variableOf(setting)].filter(Boolean).join(", ");
  const text = `${description} (${note})`;
  // A switch that is on by default is given to turn it off.
  if (value === undefined) return new Option(standard === "true" ? `--no-${kebab(setting)}` : flagOf(setting), text);
  return new Option(`${flagOf(setting)} <${value}>`, text);
}

/** What a setting is without being given, as it would be written. */
function defaultOf(setting: Setting): string | undefined {
  const { def } = configSchema.shape[setting];
  return "defaultValue" in def && typeof def.defaultValue === "string" ? def.defaultValue : undefined;
}
