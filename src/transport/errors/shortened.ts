/** The text, well-formed, cut to `bytesMax` bytes of UTF-8 and an ellipsis if it is longer. */
export function shortened(text: string, bytesMax: number): string {
  const bytes = Buffer.from(text);
  if (bytes.byteLength <= bytesMax) return text.toWellFormed();
  // Back to the beginning of a character.
  let end = bytesMax;
  while (end > 0 && ((bytes[end] ?? 0) & 0xc0) === 0x80) end--;
  return `${bytes.toString("utf8", 0, end)}…`;
}
