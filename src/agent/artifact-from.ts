import { textChunkLengthMax } from "../domain/limits.ts";
import type { ProcessorEvent } from "../domain/processor-event.ts";
import { TaskError } from "../domain/task-error.ts";
import { type Clock, systemClock } from "../runtime/clock.ts";

/** How `artifactFrom` makes its artifact. */
export interface ArtifactStream {
  /** Absent: one that follows from turn and name, see `ProcessorEvent`. */
  readonly artifactId?: string;
  readonly name?: string;
  readonly description?: string;
  /** Of the text, such as "text/markdown". */
  readonly mediaType?: string;
  /**
   * The least time between two events, in milliseconds: texts that arrive within it travel as one. 0: only texts that
   * are there already do. Default 50, at which a reader sees text flow.
   */
  readonly flushMs?: number;
  /**
   * Ends with the whole text as one part, which replaces the parts that were streamed. Readers get the text twice; the
   * task has one part instead of one for each event. A text of more than 1 Mi characters, or one larger than an event
   * may be, stays as it was streamed. Default false.
   */
  readonly joinText?: boolean;
  /** The time. Default the system's; a test gives its own, or an agent passes `context.clock` on. */
  readonly clock?: Clock;
}

const flushMsDefault = 50;

/** What `joinText` keeps in memory at most, in characters: more than any answer that people read. */
const joinedLengthMax = 1024 * 1024;

/**
 * One artifact out of a text stream: `yield* artifactFrom(tokens, { name: "Answer" })`. The first text goes at once;
 * later ones that arrive within `flushMs` of the last event are one event, with one part. So are texts that arrive
 * while the storage is busy: a stream that is faster than the storage gives fewer and larger events. An event takes no
 * further text once it has 16 Ki characters. If the stream fails, what it gave before is sent first,
 * then its error is thrown.
 *
 * A turn that runs again sends its first chunk under the same id, so that its text replaces what the lost run had sent.
 */
export async function* artifactFrom(
  chunks: AsyncIterable<string>,
  {
    artifactId,
    mediaType,
    flushMs = flushMsDefault,
    joinText = false,
    clock = systemClock,
    ...about
  }: ArtifactStream = {},
): AsyncIterable<ProcessorEvent> {
  const id = artifactId === undefined ? {} : { artifactId };
  const series = Symbol(about.name);
  const event = (text: string, append: boolean, lastChunk: boolean): ProcessorEvent => {
    const part = mediaType === undefined ? { text } : { text, mediaType };
    const artifact = append ? { ...id, parts: [part] } : { ...id, ...about, parts: [part] };
    return { artifactUpdate: { artifact, append, lastChunk, series } };
  };
  const iterator = chunks[Symbol.asyncIterator]();
  const source = new TextSource(iterator, clock);
  let whole = "";
  let dueMs = Number.NEGATIVE_INFINITY;
  try {
    for (let append = false; ; append = true) {
      const { text, end } = await source.gather(dueMs);
      if (joinText && whole.length <= joinedLengthMax) whole += text;
      if (end?.kind === "failed") {
        if (text !== "") yield event(text, append, false);
        throw end.error;
      }
      if (end !== undefined && joinText && append && whole.length <= joinedLengthMax) {
        try {
          yield event(whole, false, true);
          return;
        } catch (error) {
          // The text is larger than one event may be. It stays in parts.
          if (!(error instanceof TaskError && error.reason === "TOO_LARGE")) throw error;
        }
      }
      // An empty chunk marks the end of a stream that ended after its last text was sent.
      yield event(text, append, end !== undefined);
      if (end !== undefined) return;
      dueMs = clock.monotonic() + flushMs;
    }
  } finally {
    await iterator.return?.();
  }
}

type End = { readonly kind: "done" } | { readonly kind: "failed"; readonly error: unknown };
type Pulled = { readonly kind: "text"; readonly text: string } | End;

/** Texts in groups. One pull of the stream is always under way, until its end. */
class TextSource {
  readonly #iterator: AsyncIterator<string>;
  readonly #clock: Clock;
  #pulling: Promise<Pulled>;

  constructor(iterator: AsyncIterator<string>, clock: Clock) {
    this.#iterator = iterator;
    this.#clock = clock;
    this.#pulling = this.#pull();
  }

  /**
   * Waits for a text, and gives it with those that follow until `dueMs` of the clock, or that are there already after
   * it. `end` is set once the stream is over.
   */
  async gather(dueMs: number): Promise<{ readonly text: string; readonly end: End | undefined }> {
    let text = "";
    let pulled: Pulled | undefined = await this.#pulling;
    const waitMs = dueMs - this.#clock.monotonic();
    let cancel = () => {};
    const due =
      waitMs > 0 && pulled.kind === "text"
        ? new Promise<undefined>((resolve) => {
            cancel = this.#clock.after(waitMs, () => resolve(undefined));
          })
        : undefined;
    while (pulled?.kind === "text") {
      text += pulled.text;
      this.#pulling = this.#pull();
      // A stream that never pauses would keep the timer from firing.
      const isDue = due === undefined || this.#clock.monotonic() >= dueMs;
      if (text.length >= textChunkLengthMax) pulled = undefined;
      else pulled = await Promise.race([this.#pulling, isDue ? nextTurn() : due]);
    }
    cancel();
    return { text, end: pulled };
  }

  /** Never rejects, so that a pull which nobody awaits is no unhandled rejection. */
  async #pull(): Promise<Pulled> {
    try {
      const { done, value } = await this.#iterator.next();
      return done ? { kind: "done" } : { kind: "text", text: value };
    } catch (error) {
      return { kind: "failed", error };
    }
  }
}

/** Resolves at the next turn of the event loop: what is there already wins a race with it. */
function nextTurn(): Promise<undefined> {
  return new Promise((resolve) => setImmediate(() => resolve(undefined)));
}
