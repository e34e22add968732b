/**
 * How many of the items at the beginning fit one answer of so many bytes; at least one, if there is one: a page may be
 * short, never stuck.
 */
export function countFitting<T>(items: readonly T[], bytesOf: (item: T) => number, bytesMax: number): number {
  let bytes = 0;
  const end = items.findIndex((item, index) => {
    bytes += bytesOf(item);
    return index > 0 && bytes > bytesMax;
  });
  return end === -1 ? items.length : end;
}
