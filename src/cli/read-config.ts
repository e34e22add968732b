import { Command, Option } from "commander";
import { type Config, configSchema, type Setting, settings, settingTexts } from "./config.ts";
import { grouped } from "./help-groups.ts";

export const variablePrefix = "A2A_TM_";

/**
 * `conversationTtl` → `--conversation-ttl`. The flag of a switch that is on by default turns it off: `--no-cleanup`.
 */
export function flagOf(setting: Setting): string {
  const turnsOff = placeholderOf(setting) === undefined && defaultOf(setting) === "true";
  return `--${turnsOff ? "no-" : ""}${kebab(setting)}`;
}

/** `conversationTtl` → `A2A_TM_CONVERSATION_TTL`. */
export function variableOf(setting: Setting): string {
  return variablePrefix + kebab(setting).replaceAll("-", "_").toUpperCase();
}

function kebab(setting: Setting): string {
  return setting.replaceAll(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** What the command line and the environment ask for. */
export type Invocation =
  | { readonly kind: "serve"; readonly config: Config }
  /** Print the text and end with exit code 0: `--help`, `--version`. */
  | { readonly kind: "text"; readonly text: string }
  /** All faults, one line each. */
  | { readonly kind: "faults"; readonly faults: readonly string[] };

/** Reads the settings. Flags override variables, variables override defaults. */
export function readConfig(
  args: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
  version: string,
): Invocation {
  const flags = parseFlags(args, version);
  if (flags.kind === "text") return flags;
  const known = new Map(settings.map((setting) => [variableOf(setting), setting]));
  const faults = [...flags.faults];
  const given: Partial<Record<Setting, string>> = {};
  for (const [name, value] of Object.entries(env)) {
    if (!name.startsWith(variablePrefix) || value === undefined) continue;
    const setting = known.get(name);
    if (setting === undefined) faults.push(`${name}: unknown variable; see --help`);
    else given[setting] = value;
  }
  const all = { ...given, ...flags.given };
  // Checked here: the schema has a default for the one, and cannot tell whether it was given.
  if (all.storage !== undefined && all.storageFile !== undefined)
    faults.push(
      `${flagOf("storageFile")} (${variableOf("storageFile")}): must be left out, since ` +
        `${flagOf("storage")} (${variableOf("storage")}) is given`,
    );
  const result = configSchema.safeParse(all);
  if (result.success && faults.length === 0) return { kind: "serve", config: result.data };
  for (const issue of result.error?.issues ?? []) {
    const setting = issue.path[0] as Setting;
    const value = flags.given[setting] ?? given[setting];
    // First the name by which the value was given, then the other.
    const names = [flagOf(setting), variableOf(setting)];
    if (value !== undefined && flags.given[setting] === undefined) names.reverse();
    const shown = value === undefined || isSecret(setting) ? "" : `, not "${value}"`;
    faults.push(`${names[0]} (${names[1]}): must be ${issue.message}${shown}`);
  }
  return { kind: "faults", faults };
}

type Flags =
  | { readonly kind: "text"; readonly text: string }
  | {
      readonly kind: "flags";
      readonly given: Readonly<Partial<Record<Setting, string>>>;
      readonly faults: readonly string[];
    };

/** Parses the command line with commander, one option per setting. Values stay strings; the schema checks them. */
function parseFlags(args: readonly string[], version: string): Flags {
  let text = "";
  const command = new Command("a2a-task-manager")
    .description(
      "A task manager service for the Agent2Agent (A2A) protocol: " +
        "gRPC, gRPC-Web, Connect, HTTP+JSON and JSON-RPC on one port",
    )
    .usage("[serve] [options]")
    .argument("[command]", "serve")
    .version(version)
    .allowUnknownOption()
    .allowExcessArguments()
    .exitOverride()
    .configureHelp({ optionTerm: ({ flags }) => flags.replace(/\[(.+)\]/, "<$1>") })
    .configureOutput({
      writeOut(written) {
        text += written;
      },
      writeErr() {},
    });
  for (const { setting, group } of grouped) command.addOption(optionOf(setting).helpGroup(group));
  try {
    command.parse([...args], { from: "user" });
  } catch (error) {
    if (text !== "") return { kind: "text", text };
    return {
      kind: "flags",
      given: {},
      faults: [error instanceof Error ? error.message.replace(/^error: /, "") : String(error)],
    };
  }
  const faults = command.args.flatMap((word, index) => {
    // Only names are shown: the value of a mistyped option may be a URL with a password.
    const [name] = /^--?[\w-]*/.exec(word) ?? [];
    if (name !== undefined) return [`${name}: unknown option; see --help`];
    if (index === 0 && word === "serve") return [];
    return [`${/^[\w-]+$/.test(word) ? word : `Argument ${index + 1}`}: unknown command; the only command is serve`];
  });
  const given: Partial<Record<Setting, string>> = {};
  for (const setting of settings) {
    if (command.getOptionValueSource(setting) !== "cli") continue;
    const value: unknown = command.opts()[setting];
    if (value === true && placeholderOf(setting) !== undefined)
      faults.push(`${flagOf(setting)} (${variableOf(setting)}): needs a value, ${placeholderOf(setting)}`);
    else given[setting] = String(value);
  }
  return { kind: "flags", given, faults };
}

function optionOf(setting: Setting): Option {
  const { description = "", value } = settingTexts.get(configSchema.shape[setting]) ?? {};
  const standard = defaultOf(setting);
  const note = [standard === undefined || value === undefined ? undefined : `default ${standard}`, variableOf(setting)]
    .filter(Boolean)
    .join(", ");
  const text = `${description} (${note})`;
  if (value === undefined) return new Option(flagOf(setting), text);
  // The brackets make the value optional for commander, which otherwise stops at the first missing value and hides the
  // other faults.
  return new Option(`${flagOf(setting)} [${value}]`, text);
}

/** The placeholder of the value in `--help`; undefined for a switch. */
function placeholderOf(setting: Setting): string | undefined {
  return settingTexts.get(configSchema.shape[setting])?.value;
}

/** Whether texts must not show the value of a setting. */
function isSecret(setting: Setting): boolean {
  return settingTexts.get(configSchema.shape[setting])?.secret === true;
}

/** The default of a setting, as the user would write it. */
function defaultOf(setting: Setting): string | undefined {
  const { def } = configSchema.shape[setting];
  return "defaultValue" in def && typeof def.defaultValue === "string" ? def.defaultValue : undefined;
}
