import { readFileSync } from "node:fs";
import { storageUrlFault } from "../server/open-storage.ts";
import type { Config } from "./config.ts";

/** The URL of the storage, from the setting or its file. Throws an Error, without the URL, if the file holds none. */
export function readStorageUrl({ storage, storageFile }: Pick<Config, "storage" | "storageFile">): string {
  if (storageFile === undefined) return storage;
  const url = readFileSync(storageFile, "utf8").trim();
  const fault = storageUrlFault(url);
  if (fault !== undefined) throw new Error(`must hold ${fault}`);
  return url;
}
