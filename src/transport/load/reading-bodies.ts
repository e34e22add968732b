import { TaskError } from "../../domain/task-error.ts";
import { ByteBudget } from "./byte-budget.ts";

/** A body that is being read. */
export interface ReadingBody {
  /**
   * Takes bytes that have arrived. Returns false if the body is refused, now or before: then it holds nothing any more,
   * and its `refuse` was called.
   */
  take(bytes: number): boolean;
  /** All bytes are there. The body still counts, and is no longer refused. */
  complete(): void;
  /** Its bytes are no longer held. May be called at any time, and again. */
  close(): void;
  /** Closes it, with the error for its client. */
  refuse(error: TaskError): void;
}

/**
 * The bodies that are being read, of the process or of one connection, and the bytes that they may have together. If
 * there is no room for more bytes, the newest bodies are refused until there is: the older ones come to their end.
 *
 * Invariant: the budget holds the bytes of all bodies that are neither refused nor closed, and the list has those of
 * them that are not complete, the newest last.
 */
export class ReadingBodies {
  readonly #budget: ByteBudget;
  readonly #whole: ReadingBodies | undefined;
  readonly #setting: string;
  #newest: Place | undefined;

  /** `setting` is the name of the setting that changes the bound, for those who are refused. */
  constructor(bytesMax: number, setting: string, whole?: ReadingBodies) {
    this.#budget = whole === undefined ? new ByteBudget(bytesMax) : new ByteBudget(bytesMax, whole.#budget);
    this.#whole = whole;
    this.#setting = setting;
  }

  /** The bytes that are held. */
  get bytes(): number {
    return this.#budget.held;
  }

  /** Begins with a body. `refuse` is called at most once, with the error for its client. */
  open(refuse: (error: TaskError) => void): ReadingBody {
    const body = new Body(this, refuse);
    for (let bodies: ReadingBodies | undefined = this; bodies !== undefined; bodies = bodies.#whole)
      body.places.push(bodies.#add(body));
    return body;
  }

  take(bytes: number): void {
    this.#budget.take(bytes);
  }

  give(bytes: number): void {
    this.#budget.give(bytes);
  }

  /**
   * Refuses the newest bodies until there is room for these bytes of a body. Returns false if it is refused itself. It
   * is one of them, so this comes to an end.
   */
  makeRoom(bytes: number, asking: ReadingBody): boolean {
    for (let full = this.#fullFor(bytes); full !== undefined; full = this.#fullFor(bytes)) {
      const newest = full.#newest === undefined ? asking : full.#newest.body;
      newest.refuse(full.#tooManyBytes());
      if (newest === asking) return false;
    }
    return true;
  }

  remove(place: Place): void {
    if (place.older !== undefined) place.older.newer = place.newer;
    if (place.newer !== undefined) place.newer.older = place.older;
    else place.list.#newest = place.older;
  }

  #fullFor(bytes: number): ReadingBodies | undefined {
    const full = this.#budget.fullFor(bytes);
    return full === undefined || full === this.#budget ? full && this : this.#whole;
  }

  #add(body: Body): Place {
    const place: Place = { list: this, body, older: this.#newest, newer: undefined };
    if (this.#newest !== undefined) this.#newest.newer = place;
    this.#newest = place;
    return place;
  }

  #tooManyBytes(): TaskError {
    const where = this.#whole === undefined ? "" : " on this connection";
    return new TaskError(
      "TOO_MANY",
      `The requests that are being read${where} have more than ${this.#budget.bytesMax} bytes (${this.#setting})`,
    );
  }
}

/** The place of a body in one list. */
interface Place {
  readonly list: ReadingBodies;
  readonly body: Body;
  older: Place | undefined;
  newer: Place | undefined;
}

class Body implements ReadingBody {
  readonly places: Place[] = [];
  readonly #bodies: ReadingBodies;
  readonly #refuse: (error: TaskError) => void;
  #bytes = 0;
  #state: "reading" | "complete" | "over" = "reading";

  constructor(bodies: ReadingBodies, refuse: (error: TaskError) => void) {
    this.#bodies = bodies;
    this.#refuse = refuse;
  }

  take(bytes: number): boolean {
    if (this.#state !== "reading") return false;
    if (!this.#bodies.makeRoom(bytes, this)) return false;
    this.#bodies.take(bytes);
    this.#bytes += bytes;
    return true;
  }

  complete(): void {
    if (this.#state !== "reading") return;
    this.#state = "complete";
    for (const place of this.places) place.list.remove(place);
  }

  close(): void {
    this.complete();
    this.#state = "over";
    this.#bodies.give(this.#bytes);
    this.#bytes = 0;
  }

  refuse(error: TaskError): void {
    this.close();
    this.#refuse(error);
  }
}
