/** The way to a value: proto names of fields, indexes of lists, keys of maps in brackets. */
export type JsonPath = readonly (string | number)[];

/** As in `FieldViolation.field`: `message.parts[0].content`. */
export function pathText(path: JsonPath): string {
  let text = "";
  for (const segment of path) {
    if (typeof segment === "number") text += `[${segment}]`;
    else text += text === "" || segment.startsWith("[") ? segment : `.${segment}`;
  }
  return text;
}

/**
 * A field's path as it is in JSON, `securitySchemes["a_b"].url` for `security_schemes["a_b"].url`: what google.rpc
 * wants of violations that are told in JSON. Keys of maps stay.
 */
export function jsonFieldPath(field: string): string {
  return field.replaceAll(
    /\["(?:[^"\\]|\\.)*"\]|_([a-z])/g,
    (found, letter?: string) => letter?.toUpperCase() ?? found,
  );
}
