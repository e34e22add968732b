import { jsonOf } from "../domain/json-of.ts";
import type { PartDetails, PlainPart } from "../domain/processor-event.ts";
import type { AsJson } from "./as-json.ts";

/** A part of text. Its media type is text/plain unless it is given. */
export function text(value: string, details: PartDetails = {}): PlainPart {
  return { ...details, text: value };
}

/**
 * A part of JSON. Members that are undefined are left out. Throws TaskError INVALID_AGENT_RESPONSE, with the path, for
 * what JSON cannot hold: NaN, a bigint, a Date. What the compiler can see of that, it refuses.
 */
export function data<T>(json: T & AsJson<T>, details: PartDetails = {}): PlainPart {
  return { ...details, data: jsonOf(json, "the data of a part") };
}

/**
 * A part that is a file: its bytes, or an absolute URL where its reader finds them. Bytes count towards the bounds on
 * events (4 MiB by default); a larger file goes by URL. Throws TypeError for a string that is no absolute URL.
 */
export function file(
  bytesOrUrl: Uint8Array | URL | string,
  { name, ...details }: Omit<PartDetails, "filename"> & { readonly name?: string } = {},
): PlainPart {
  const about = { ...details, ...(name !== undefined && { filename: name }) };
  return bytesOrUrl instanceof Uint8Array
    ? { ...about, raw: bytesOrUrl }
    : { ...about, url: new URL(bytesOrUrl).toString() };
}
