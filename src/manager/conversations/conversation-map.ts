import { type Scope, scopedString } from "../../domain/scope.ts";

/** A value for each conversation. Beyond `conversationsMax` the value that was set longest ago is dropped. */
export class ConversationMap<T> {
  readonly #conversationsMax: number;
  /** In the order in which they were set. */
  readonly #values = new Map<string, T>();

  constructor(conversationsMax: number) {
    this.#conversationsMax = conversationsMax;
  }

  get(scope: Scope, contextId: string): T | undefined {
    return this.#values.get(scopedString(scope, contextId));
  }

  set(scope: Scope, contextId: string, value: T): void {
    const id = scopedString(scope, contextId);
    this.#values.delete(id);
    this.#values.set(id, value);
    if (this.#values.size <= this.#conversationsMax) return;
    const oldest = this.#values.keys().next();
    if (!oldest.done) this.#values.delete(oldest.value);
  }

  delete(scope: Scope, contextId: string): void {
    this.#values.delete(scopedString(scope, contextId));
  }
}
