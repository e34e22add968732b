import { TaskError } from "../../domain/task-error.ts";

/** The served version of the contract, as in the card and in `A2A-Version`. */
export const servedVersion = "1.0";
/** The name of the header, the gRPC metadata and the query parameter. Names compare case-insensitively (R142). */
export const versionParameter = "A2A-Version";

/**
 * How a request without a version is taken. `strict`: as 0.3, as the contract says (R138, R196). `lenient`: as the
 * served version.
 */
export type VersionMode = "strict" | "lenient";

/** The parts of a request that name its version. */
export interface VersionSource {
  readonly lines: Pick<Headers, "get">;
  readonly url: string;
}

/** Major.Minor. A patch number may follow and doesn't count (R139). */
const form = /^((?:0|[1-9]\d{0,3})\.(?:0|[1-9]\d{0,3}))(?:\.\d{1,4})?$/;

/**
 * The version that a request names, Major.Minor, in its header, its metadata or the query of its URL (R140). Undefined
 * if it names none. Equal values count once. Throws TaskError VERSION_NOT_SUPPORTED for a malformed version and for
 * several versions.
 */
export function namedVersion({ lines, url }: VersionSource): string | undefined {
  const values = [...(lines.get(versionParameter) ?? "").split(","), ...queryValues(url)].map((value) => value.trim());
  const [version, ...others] = new Set(values.filter((value) => value !== "").map(majorMinor));
  if (others.length > 0) throw versionNotSupported("names several versions");
  return version;
}

/** Throws TaskError VERSION_NOT_SUPPORTED unless the request is one of the served version (R137). */
export function checkVersion(source: VersionSource, mode: VersionMode): void {
  // As nearly all requests name it: it needs no parsing.
  if (source.lines.get(versionParameter) === servedVersion && !source.url.includes("?")) return;
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
