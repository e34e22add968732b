/** Pieces of a body that may have any size. */
const freePieces = 16 * 1024;
/** Bytes that further pieces need to have on average. A piece costs as much as many bytes, however small it is. */
const pieceBytesMin = 64;

/** Counts the pieces in which a body comes: chunks over HTTP/1.1, DATA frames over HTTP/2. */
export class PieceCount {
  #pieces = 0;
  #bytes = 0;

  /** Returns whether the body has too many small pieces with this one. */
  add(bytes: number): boolean {
    this.#pieces++;
    this.#bytes += bytes;
    return this.#pieces > freePieces && this.#bytes < this.#pieces * pieceBytesMin;
  }
}
