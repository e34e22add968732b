import {
  type MessageClaim,
  type Retention,
  type Scope,
  StorageError,
  type StorageOptions,
} from "../../../src/index.ts";
import {
  type Claim,
  type Conversation,
  comparePlaces,
  holds,
  isSame,
  keyOf,
  placeOf,
  type Said,
  type Task,
} from "./map-records.ts";

/** The records of a map storage, and the changes that touch several of them. */
export class MapState {
  readonly #maxHistoryLength: number;
  retention: Retention = { conversationTtlMs: Number.POSITIVE_INFINITY, interruptedTtlMs: Number.POSITIVE_INFINITY };
  readonly conversations = new Map<string, Conversation>();
  readonly tasks = new Map<string, Task>();
  /** In the order in which they were stored. */
  history: Said[] = [];
  claims: Claim[] = [];
  closed = false;

  constructor({ maxHistoryLength }: Required<StorageOptions>) {
    this.#maxHistoryLength = maxHistoryLength;
  }

  /** How every call begins: what is past its time goes, so that no method has to look at that. Gives the time. */
  begin(): number {
    if (this.closed) {
      throw new StorageError("closed", "The storage is closed");
    }
    const nowMs = Date.now();
    for (const conversation of this.olderThan(this.retention.conversationTtlMs, nowMs)) {
      this.remove(conversation);
    }
    this.claims = this.claims.filter(({ endsMs }) => endsMs > nowMs);
    return nowMs;
  }

  /** The conversation of that id, made if there is none. */
  ensure({ tenant, owner }: Scope, contextId: string, nowMs: number): Conversation {
    const key = keyOf({ tenant, owner }, contextId);
    const conversation = this.conversations.get(key) ?? { scope: { tenant, owner }, contextId, lastAccessMs: nowMs };
    this.conversations.set(key, conversation);
    return conversation;
  }

  /** Of all scopes if none is given. */
  conversationsIn(scope: Scope | undefined): Conversation[] {
    return [...this.conversations.values()].filter(
      (conversation) => scope === undefined || isSame(conversation.scope, scope),
    );
  }

  /** Conversations that nobody accessed for longer than that, and that no task holds. */
  olderThan(ageMs: number, nowMs: number, scope?: Scope): Conversation[] {
    const old = this.conversationsIn(scope).filter(({ lastAccessMs }) => nowMs - lastAccessMs > ageMs);
    if (old.length === 0) {
      return old;
    }
    const holding = [...this.tasks.values()].filter((task) => holds(task, this.retention, nowMs));
    const held = new Set(holding.map(({ conversation }) => conversation));
    return old.filter((conversation) => !held.has(conversation));
  }

  /** A conversation goes with all that belongs to it. */
  remove(conversation: Conversation): void {
    this.conversations.delete(keyOf(conversation.scope, conversation.contextId));
    for (const [key, task] of this.tasks) {
      if (task.conversation === conversation) {
        this.tasks.delete(key);
      }
    }
    this.history = this.history.filter((said) => said.conversation !== conversation);
    this.claims = this.claims.filter((claim) => claim.conversation !== conversation);
  }

  /** Puts a message into its history, which the oldest leave if it is too long. */
  say(said: Said): void {
    this.history.push(said);
    const all = this.historyOf(said.conversation);
    const leaving = new Set(all.slice(0, Math.max(0, all.length - this.#maxHistoryLength)));
    this.history = this.history.filter((one) => !leaving.has(one));
  }

  /** Oldest first. */
  historyOf(conversation: Conversation | undefined): readonly Said[] {
    const all = this.history.filter((said) => said.conversation === conversation);
    return all.sort((a, b) => comparePlaces(placeOf(a), placeOf(b)));
  }

  /** Those that are held for a message id, whatever the content. */
  claimsOf(scope: Scope, messageId: string): readonly Claim[] {
    return this.claims.filter((one) => one.claim.messageId === messageId && isSame(one.scope, scope));
  }

  /** Makes a claim, which nothing has come of yet. */
  claim(scope: Scope, claim: MessageClaim, nowMs: number): Claim {
    const made: Claim = {
      scope: { ...scope },
      claim,
      endsMs: nowMs + claim.windowMs,
      conversation: undefined,
      answer: undefined,
    };
    this.claims.push(made);
    return made;
  }

  /**
   * Ties a claim to what came of it. One that another task holds by now, because this one's window was over, is left
   * alone.
   */
  settle(
    scope: Scope,
    claim: MessageClaim,
    conversation: Conversation,
    answer: Uint8Array | undefined,
    nowMs: number,
  ): void {
    const held = this.claimsOf(scope, claim.messageId).find((other) => other.claim.contentHash === claim.contentHash);
    const mine = held ?? this.claim(scope, claim, nowMs);
    if (mine.claim.taskId === claim.taskId) {
      mine.conversation = conversation;
      mine.answer = answer;
    }
  }
}
