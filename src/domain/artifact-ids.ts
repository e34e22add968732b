/** The most characters of a name in an id: with the rest of the id they fit the bound on ids, in any script. */
const nameLengthMax = 64;

/**
 * The ids of one turn's artifacts that their agent gave no id. An id follows from the message that the turn answers,
 * the artifact's name and its number among those of that name. A turn that runs again, and makes its artifacts in the
 * same order, so gives them the same ids: its first chunks replace what the lost run had sent.
 *
 * Bounded by the artifacts of the turn, and so by the bytes of its task.
 */
export class ArtifactIds {
  readonly #turn: bigint;
  #numbers: Map<string, number> | undefined;
  #series: Map<symbol, string> | undefined;

  constructor(turn: { readonly message: { readonly sequence: bigint } } | undefined) {
    this.#turn = turn?.message.sequence ?? 0n;
  }

  /** The id for the next chunk without one. */
  next(name: string, { series }: { readonly series?: symbol }): string {
    if (series === undefined) return this.#new(name);
    this.#series ??= new Map();
    const id = this.#series.get(series) ?? this.#new(name);
    this.#series.set(series, id);
    return id;
  }

  #new(name: string): string {
    const shown = name.slice(0, nameLengthMax).toWellFormed();
    this.#numbers ??= new Map();
    const number = (this.#numbers.get(shown) ?? 0) + 1;
    this.#numbers.set(shown, number);
    // The name comes last, so that no name makes two ids equal.
    return `turn-${this.#turn}.${number}${shown === "" ? "" : `-${shown}`}`;
  }
}
