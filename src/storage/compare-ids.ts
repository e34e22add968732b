/**
 * Compares ids by their bytes of UTF-8, as databases do. Less than 0 if `a` comes first. JavaScript's own order of
 * strings differs between a surrogate and a character from U+E000 on.
 */
export function compareIds(a: string, b: string): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) {
    const x = a.charCodeAt(i);
    const y = b.charCodeAt(i);
    if (x !== y) {
      return rank(x) - rank(y);
    }
  }
  return a.length - b.length;
}

/** A surrogate is part of a character above U+FFFF, so it is ordered after all others. */
function rank(unit: number): number {
  return unit >= 0xd800 && unit <= 0xdfff ? unit + 0x10000 : unit;
}
