import { readFile } from "node:fs/promises";
import type { AgentCardInit } from "../transport/agent-card/capabilities.ts";
import type { CardKeyText } from "../transport/agent-card/card-key.ts";
import { readCard } from "../transport/agent-card/read-card.ts";
import { readKeyFile } from "./key-file.ts";

/** The agent card in a JSON file. Throws an Error that lists all its faults. */
export async function loadCard(file: string): Promise<AgentCardInit> {
  const text = await readFile(file, "utf8");
  return readCard(text);
}

/** The text of a private key in a file. It is parsed later. Throws what `readKeyFile` throws. */
export async function loadCardKey({
  file,
  kid,
}: {
  readonly file: string;
  readonly kid?: string;
}): Promise<CardKeyText> {
  return { key: readKeyFile(file).toString(), ...(kid !== undefined && { kid }) };
}
