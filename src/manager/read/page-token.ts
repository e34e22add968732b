import { createHash } from "node:crypto";
import { idBytesMax } from "../../domain/limits.ts";
import { invalidRequest } from "../../domain/task-error.ts";

/**
 * Makes a page token: a place in a list, with a digest that binds it to the list (its kind, scope and filters). Tokens
 * hold no secret: a client that makes one up only gets to another place of a list that it may read anyway. So they need
 * no key, and every replica accepts the tokens of every other, also after a restart.
 */
export function encodePageToken(list: readonly unknown[], place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([...place, digest(list, place)])).toString("base64url");
}

/**
 * The place in a token; undefined for an empty token. Throws TaskError INVALID_REQUEST for a token of another list, and
 * for a place that no list has.
 */
export function decodePageToken(
  list: readonly unknown[],
  token: string,
  shape: readonly Part[],
): readonly (string | number)[] | undefined {
  if (token === "") return undefined;
  const refused = () =>
    invalidRequest([
      {
        field: "page_token",
        description: "not a token of this list; use next_page_token of a page with the same filters, or leave it empty",
      },
    ]);
  // An id of 256 bytes may grow sixfold in JSON; no token is longer than this.
  if (token.length > tokenLengthMax) throw refused();
  let values: unknown;
  try {
    values = JSON.parse(Buffer.from(token, "base64url").toString("utf8"));
  } catch {
    throw refused();
  }
  if (!Array.isArray(values) || values.length !== shape.length + 1) throw refused();
  const place = values.slice(0, -1);
  if (!place.every((value, index) => isPart(value, shape[index]))) throw refused();
  if (values.at(-1) !== digest(list, place) || encodePageToken(list, place) !== token) throw refused();
  return place;
}

const tokenLengthMax = 4096;

/** The kind of a part of a place. A sequence is written in digits, since a JavaScript number can't hold it. */
type Part = "time" | "id" | "optional id" | "sequence";

const int64Max = 2n ** 63n - 1n;

/** Whether a storage accepts the value: anybody can make a token, and the storage would name its own terms. */
function isPart(value: unknown, part: Part | undefined): boolean {
  switch (part) {
    case "time":
      return Number.isSafeInteger(value);
    case "id":
      return value !== "" && isPart(value, "optional id");
    case "optional id":
      return typeof value === "string" && value.isWellFormed() && Buffer.byteLength(value) <= idBytesMax;
    case "sequence":
      return typeof value === "string" && /^\d{1,19}$/.test(value) && BigInt(value) <= int64Max;
    case undefined:
      return false;
    default:
      return part satisfies never;
  }
}

function digest(list: readonly unknown[], place: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([list, place]))
    .digest("base64url")
    .slice(0, 22);
}
