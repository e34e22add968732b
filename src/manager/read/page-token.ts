import { createHash } from "node:crypto";
import { invalidRequest } from "../../domain/task-error.ts";

/**
 * Page tokens: a place in a list, bound to the list (what is listed, for whom, under which filters) by a digest. They
 * hold no secret: who makes one up gains another place in a list that is his anyway. So they need no key, and any
 * replica takes what any other gave, after any restart.
 */
export function encodePageToken(list: readonly unknown[], place: readonly (string | number)[]): string {
  return Buffer.from(JSON.stringify([...place, digest(list, place)])).toString("base64url");
}

/**
 * The place in a token; undefined for no token. Throws TaskError INVALID_REQUEST for one that this list didn't give.
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
        description: "not a token of this list; send next_page_token of a page with the same filters, or nothing",
      },
    ]);
  // Longer than any token: an id of 256 bytes may grow sixfold in JSON.
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

/** What a place is made of. "digits": a sequence, which a number can't hold. */
type Part = "string" | "number" | "digits";

function isPart(value: unknown, part: Part | undefined): boolean {
  return part === "digits" ? typeof value === "string" && /^\d{1,19}$/.test(value) : typeof value === part;
}

function digest(list: readonly unknown[], place: readonly unknown[]): string {
  return createHash("sha256")
    .update(JSON.stringify([list, place]))
    .digest("base64url")
    .slice(0, 22);
}
