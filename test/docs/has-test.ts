/** Whether a file has a call of a test runner, or a case of a table or suite, by exactly that name. */
export function hasTest(text: string, name: string): boolean {
  return ["(", ", ", "[", "name: "].some((before) => text.includes(`${before}"${name}"`));
}
