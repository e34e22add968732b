import type { HandlerContext } from "@connectrpc/connect";
import { TaskError } from "../../domain/task-error.ts";

/** The version of the contract that is served, as the card and `A2A-Version` name it. */
export const servedVersion = "1.0";
/** The header, the gRPC metadata and the query parameter; names compare case-insensitively (R142). */
export const versionParameter = "A2A-Version";

/**
 * `strict`: a request that names no version is one of 0.3, as the contract has it (R138, R196). `lenient`: it is taken
 * as one of the served version.
 */
export type VersionMode = "strict" | "lenient";

/** What tells the version of a request. */
export type VersionSource = Pick<HandlerContext, "requestHeader" | "url">;

/** Major.Minor; a patch number may stand behind it and doesn't count (R139). */
const form = /^((?:0|[1-9]\d{0,3})\.(?:0|[1-9]\d{0,3}))(?:\.\d{1,4})?$/;

/**
 * The version that a request names, Major.Minor, in its header or metadata or in the query of its URL (R140); undefined
 * if it names none. Values that agree are one. Throws TaskError VERSION_NOT_SUPPORTED for what is no version, and for
 * several that differ.
 */
export function namedVersion({ requestHeader, url }: VersionSource): string | undefined {
  const values = [...(requestHeader.get(versionParameter) ?? "").split(","), ...queryValues(url)].map((value) =>
    value.trim(),
  );
  const [version, ...others] = new Set(values.filter((value) => value !== "").map(majorMinor));
  if (others.length > 0) throw versionNotSupported("names several versions");
  return version;
}

/**
 * Throws TaskError VERSION_NOT_SUPPORTED unless the request is to be served by the rules of the served version (R137).
 */
export function checkVersion(source: VersionSource, mode: VersionMode): void {
  const version = namedVersion(source);
  if (version === undefined && mode === "strict") throw versionNotSupported("is missing, which means version 0.3");
  if (version !== undefined && version !== servedVersion) throw versionNotSupported(`names version ${version}`);
}

function majorMinor(value: string): string {
  const [, version] = form.exec(value) ?? [];
  if (version === undefined) throw versionNotSupported("doesn't have the form Major.Minor");
  return version;
}

function queryValues(url: string): readonly string[] {
  const start = url.indexOf("?");
  if (start === -1) return [];
  return [...new URLSearchParams(url.slice(start))].flatMap(([name, value]) =>
    name.toLowerCase() === versionParameter.toLowerCase() ? [value] : [],
  );
}

function versionNotSupported(fault: string): TaskError {
  return new TaskError("VERSION_NOT_SUPPORTED", `${versionParameter} ${fault}; this server speaks ${servedVersion}`, {
    metadata: { supportedVersions: servedVersion },
  });
}
