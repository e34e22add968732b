import { stat } from "node:fs/promises";
import { resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { demoProcessor } from "../agent/demo-processor.ts";
import type { MessageProcessor } from "../agent/message-processor.ts";

/** The agent in a module's default export; the demo agent without a file. Throws an Error that names the fault. */
export async function loadProcessor(file: string | undefined): Promise<MessageProcessor> {
  if (file === undefined) return demoProcessor;
  const path = resolve(file);
  const found = await stat(path).catch(() => undefined);
  if (!found?.isFile()) throw new Error(`File "${path}" does not exist`);
  const module: unknown = await import(pathToFileURL(path).href).catch((error: unknown) => {
    throw new Error(`Cannot load "${path}": ${error instanceof Error ? error.message : String(error)}`, {
      cause: error,
    });
  });
  const processor = (module as { readonly default?: unknown }).default;
  if (!isProcessor(processor))
    throw new Error(
      `The default export of "${path}" is not a MessageProcessor, which is an object with a method processMessage`,
    );
  return processor;
}

function isProcessor(value: unknown): value is MessageProcessor {
  return (
    typeof value === "object" &&
    value !== null &&
    "processMessage" in value &&
    typeof value.processMessage === "function"
  );
}
