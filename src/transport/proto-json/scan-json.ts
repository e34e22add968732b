import { requestValuesMax } from "../calls/call-limits.ts";
import { freeNamesBytes, IndexNames, NameCosts, objectCost } from "../request-bounds/name-costs.ts";
import { tooManyValues } from "../request-bounds/request-faults.ts";

/**
 * An open array (undefined), or an open object with the names of its members so far: none (null), one (a string), or
 * several. A level without names costs no object, so that deep nesting costs little memory.
 */
type Level = undefined | null | string | Set<string>;

/**
 * One pass over JSON text before it is parsed. Returns the first name that an object has twice, if any. Malformed text
 * passes: `JSON.parse` rejects it.
 *
 * Puts the ids of JSON-RPC that JavaScript would round into `ids`, as they are written: numbers in a member "id" of the
 * top-level object (key 0), or of the objects in a top-level array (key: the index).
 *
 * Throws TaskError TOO_LARGE at the first value more than `requestValuesMax`: no memory has been spent on the values
 * yet. A value is an object, an array, a string, a number or a literal, wherever it is. Names count by their costs.
 */
export function scanJson(text: string, ids: Map<number, string>): string | undefined {
  let values = 0;
  // A member is counted by its name. So text with names and no values, which is no JSON, is bounded as well.
  let isCounted = false;
  const add = (cost: number) => {
    values += cost;
    if (values > requestValuesMax) throw tooManyValues();
  };
  const count = () => {
    if (!isCounted) add(1);
    isCounted = false;
  };
  const costs = text.length > freeNamesBytes ? new NameCosts() : undefined;
  // Of the open objects and arrays.
  const indexes: (IndexNames | undefined)[] = [];
  const levels: Level[] = [];
  let isName = false;
  let place = 0;
  let repeated: string | undefined;
  for (let at = 0; at < text.length; at++) {
    switch (text[at]) {
      case '"': {
        const end = endOfString(text, at);
        count();
        if (isName) {
          isCounted = true;
          const name = nameOf(text.slice(at + 1, end));
          const names = levels.at(-1);
          if (costs !== undefined) {
            add(costs.of(name, sizeOf(names)));
            indexes.at(-1)?.add(name);
          }
          if (names === null) levels[levels.length - 1] = name;
          else if (typeof names === "string") {
            if (names === name) repeated ??= name;
            else levels[levels.length - 1] = new Set([names, name]);
          } else if (names?.has(name)) repeated ??= name;
          else names?.add(name);
          if (name === "id" && (levels.length === 1 || (levels.length === 2 && levels[0] === undefined)))
            keepId(text, end, ids, place);
          isName = false;
        }
        at = end;
        break;
      }
      case "{":
        count();
        levels.push(null);
        if (costs !== undefined) {
          add(objectCost);
          indexes.push(new IndexNames());
        }
        isName = true;
        break;
      case "[":
        count();
        levels.push(undefined);
        if (costs !== undefined) indexes.push(undefined);
        isName = false;
        break;
      case "}":
      case "]":
        levels.pop();
        if (costs !== undefined) add(indexes.pop()?.cost() ?? 0);
        isName = false;
        isCounted = false;
        break;
      case ",":
        isCounted = false;
        isName = levels.at(-1) !== undefined;
        if (levels.length === 1 && !isName) place++;
        break;
      case " ":
      case "\t":
      case "\n":
      case "\r":
      case ":":
        break;
      default:
        // A number or a literal, up to its end.
        count();
        plain.lastIndex = at + 1;
        if (plain.test(text)) at = plain.lastIndex - 1;
    }
  }
  return repeated;
}

/** The number of an object's members so far. */
function sizeOf(names: Level): number {
  return typeof names === "string" ? 1 : (names?.size ?? 0);
}

/** The rest of a number or a literal. */
const plain = /[^\s"{}[\],:]+/y;

/** The index of the quote that ends a string, or the end of the text. */
function endOfString(text: string, start: number): number {
  for (let end = text.indexOf('"', start + 1); end !== -1; end = text.indexOf('"', end + 1)) {
    let first = end;
    while (text[first - 1] === "\\") first--;
    if ((end - first) % 2 === 0) return end;
  }
  return text.length;
}

/** A name without escapes: `\u0061` is `a`. */
function nameOf(written: string): string {
  if (!written.includes("\\")) return written;
  try {
    return JSON.parse(`"${written}"`);
  } catch {
    return written;
  }
}

const numberAfterName = /"\s*:\s*(-?\d[\d.eE+-]*)/y;

function keepId(text: string, end: number, ids: Map<number, string>, place: number): void {
  numberAfterName.lastIndex = end;
  const written = numberAfterName.exec(text)?.[1];
  if (written !== undefined && !Number.isSafeInteger(Number(written))) ids.set(place, written);
}
