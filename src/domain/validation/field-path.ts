/** The path to a value: proto names of fields, indexes of lists, and keys of maps in brackets (`mapKey`). */
export type FieldPath = readonly (string | number)[];

/** The segment of a path for a key of a map: `["a_b"]`. */
export function mapKey(key: string): string {
  return `[${JSON.stringify(key)}]`;
}

/** A path as in `FieldViolation.field`: `message.parts[0].content`. */
export function pathText(path: FieldPath): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else text += text === "" || segment.startsWith("[") ? segment : `.${segment}`;
  }
  return text;
}
