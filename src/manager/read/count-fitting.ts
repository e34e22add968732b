/**
 * How many of the first items fit an answer of `bytesMax` bytes. At least one, if there is one: a page may be short,
 * but a client must get on.
 */
export function countFitting<T>(items: readonly T[], bytesOf: (item: T) => number, bytesMax: number): number {
  let bytes = 0;
  const end = items.findIndex((item, index) => {
    bytes += bytesOf(item);
    return index > 0 && bytes > bytesMax;
  });
  return end === -1 ? items.length : end;
}
