/**
 * The path of a field by its JSON names: `securitySchemes["a_b"].url` for `security_schemes["a_b"].url`. google.rpc
 * asks for this form where violations are sent as JSON. Keys of maps stay as they are.
 */
export function jsonFieldPath(field: string): string {
  return field.replaceAll(
    /\["(?:[^"\\]|\\.)*"\]|_([a-z])/g,
    (found, letter?: string) => letter?.toUpperCase() ?? found,
  );
}
