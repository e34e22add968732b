import { TaskState } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import {
  type ConversationChange,
  type ConversationPlace,
  compareIds,
  type EncodedBatch,
  type EntryPlace,
  type HeaderChange,
  type IdRange,
  type MessageClaim,
  type MessagePlace,
  type Moment,
  type NewMessage,
  type NewTask,
  type OldRange,
  type Progress,
  type Scope,
  type Tables,
  type TaskAfter,
  type TaskCommand,
  type TaskFilter,
  type TaskKey,
  type TaskPlace,
} from "../../../src/index.ts";
import * as rows from "./map-rows.ts";

/**
 * The statements of a storage, as plainly as they can be said: a `Map` for each table, and filters. What is hidden is
 * removed at once, so there is no `removed`.
 */
export class MapTables implements Tables {
  readonly maxHistoryLength: number;
  readonly #conversations = new Map<number, rows.Conversation>();
  readonly #messages = new Map<number, rows.Message>();
  readonly #claims = new Map<number, rows.Claim>();
  readonly #tasks = new Map<number, rows.Task>();
  readonly #replicas = new Map<string, { readonly counter: bigint; readonly heartbeatMs: number }>();
  #lastId = 0;

  constructor(maxHistoryLength: number) {
    this.maxHistoryLength = maxHistoryLength;
  }

  // ── Conversations ──

  conversation(scope: Scope, contextId: string, at: Moment) {
    const found = this.#conversations.values().find((one) => rows.isIn(one, scope) && one.contextId === contextId);
    return found && { ...found, live: this.#isLive(found, at) };
  }

  addConversation({ tenant, owner }: Scope, contextId: string, lastAccessMs: number) {
    return this.#add(this.#conversations, { tenant, owner, contextId, lastAccessMs, messageCount: 0 });
  }

  updateConversation(id: number, { messages = 0, lastAccessMs }: ConversationChange) {
    const conversation = rows.get(this.#conversations, id);
    conversation.messageCount += messages;
    conversation.lastAccessMs = lastAccessMs ?? conversation.lastAccessMs;
  }

  hideConversation(conversation: number) {
    rows.removeWhere(this.#messages, (message) => message.conversation === conversation);
    rows.removeWhere(this.#claims, (claim) => claim.conversation === conversation);
    rows.removeWhere(this.#tasks, (task) => task.conversation === conversation);
    this.#conversations.delete(conversation);
  }

  pageConversations(scope: Scope, after: ConversationPlace | undefined, limit: number, at: Moment) {
    return this.#conversationsIn(scope)
      .filter((one) => this.#isLive(one, at))
      .sort(rows.compareAccess)
      .filter((one) => after === undefined || rows.compareAccess(one, after) > 0)
      .slice(0, limit);
  }

  oldConversations(scope: Scope | undefined, { before, after, limit }: OldRange, at: Moment) {
    const compare = (a: { lastAccessMs: number; id: number }, b: { lastAccessMs: number; id: number }) =>
      a.lastAccessMs - b.lastAccessMs || a.id - b.id;
    return this.#conversationsIn(scope)
      .filter((one) => one.lastAccessMs < before && (after === undefined || compare(one, after) > 0))
      .sort(compare)
      .slice(0, limit)
      .map((one) => ({
        id: one.id,
        key: { tenant: one.tenant, owner: one.owner, contextId: one.contextId },
        lastAccessMs: one.lastAccessMs,
        held: this.#isHeld(one, at),
      }));
  }

  conversationStats(scope: Scope | undefined, at: Moment) {
    const live = this.#conversationsIn(scope).filter((one) => this.#isLive(one, at));
    const times = live.map(({ lastAccessMs }) => lastAccessMs).sort((a, b) => a - b);
    const [oldest, newest] = [times[0], times.at(-1)];
    return {
      totalConversations: live.length,
      totalMessages: live.reduce((sum, { messageCount }) => sum + messageCount, 0),
      ...(oldest !== undefined && { oldestAccess: new Date(oldest) }),
      ...(newest !== undefined && { newestAccess: new Date(newest) }),
    };
  }

  // ── Messages ──

  addMessages({ tenant, owner }: Scope, conversation: number, messages: readonly NewMessage[]) {
    for (const { messageId, timeMs, source } of messages) {
      const place = "task" in source ? source : { taskId: "", sequence: this.#lastId + 1 };
      const { taskId, sequence } = place;
      this.#add(this.#messages, { tenant, owner, conversation, messageId, timeMs, taskId, sequence, source });
    }
  }

  removeMessages(ids: readonly number[]) {
    rows.removeWhere(this.#messages, ({ id }) => ids.includes(id));
  }

  removeOldestMessages(conversation: number, count: number) {
    this.removeMessages(
      this.#history(conversation)
        .slice(0, count)
        .map(({ id }) => id),
    );
  }

  messageIds(conversation: number) {
    return this.#history(conversation);
  }

  messagesOfTask(task: number) {
    return this.#messageIds(({ source }) => "task" in source && source.task === task);
  }

  messagesWithoutTask(scope: Scope, conversation: number, messageId: string) {
    return this.#messageIds(
      (one) =>
        rows.isIn(one, scope) &&
        one.conversation === conversation &&
        one.messageId === messageId &&
        "bytes" in one.source,
    );
  }

  messagesNamed(scope: Scope, messageId: string, at: Moment) {
    return [...this.#messages.values()].filter(
      (one) =>
        rows.isIn(one, scope) &&
        one.messageId === messageId &&
        this.#isLive(rows.get(this.#conversations, one.conversation), at),
    );
  }

  lastMessages(scope: Scope, messageIds: readonly string[], at: Moment) {
    return messageIds
      .map((messageId) => this.messagesNamed(scope, messageId, at).at(-1))
      .filter((message) => message !== undefined)
      .map((message) => {
        const { contextId } = rows.get(this.#conversations, message.conversation);
        return { ...rows.messageRow(message), contextId };
      });
  }

  newestMessages(conversation: number, limit = Number.POSITIVE_INFINITY) {
    return this.#history(conversation).reverse().slice(0, limit).map(rows.messageRow);
  }

  messagesAfter(conversation: number, after: MessagePlace | undefined, limit: number) {
    return this.#history(conversation)
      .filter((message) => after === undefined || rows.comparePlaces(message, after) > 0)
      .slice(0, limit)
      .map(rows.messageRow);
  }

  // ── Claims ──

  claims(scope: Scope, messageId: string, at: Moment) {
    rows.removeWhere(this.#claims, ({ endsMs }) => endsMs <= at.nowMs);
    return [...this.#claims.values()]
      .filter((claim) => rows.isIn(claim, scope) && claim.messageId === messageId)
      .map((claim) => {
        const { conversation } = claim;
        const held = conversation === undefined || this.#isLive(rows.get(this.#conversations, conversation), at);
        return { ...claim, answer: claim.answer && new Uint8Array(claim.answer), held };
      });
  }

  putClaim(scope: Scope, { messageId, contentHash, taskId }: MessageClaim, endsMs: number) {
    rows.removeWhere(
      this.#claims,
      (one) => rows.isIn(one, scope) && one.messageId === messageId && one.contentHash === contentHash,
    );
    const { tenant, owner } = scope;
    const settled = { conversation: undefined, answer: undefined };
    return this.#add(this.#claims, { tenant, owner, messageId, contentHash, taskId, endsMs, ...settled });
  }

  settleClaim(id: number, conversation: number, answer: Uint8Array | undefined) {
    Object.assign(rows.get(this.#claims, id), { conversation, answer });
  }

  removeClaimsOfTask(conversation: number, taskId: string) {
    rows.removeWhere(this.#claims, (claim) => claim.conversation === conversation && claim.taskId === taskId);
  }

  // ── Tasks and their logs ──

  task(key: TaskKey, at: Moment) {
    const task = this.#tasks.values().find((one) => rows.isIn(one, key) && one.taskId === key.taskId);
    if (task === undefined) {
      return undefined;
    }
    const conversation = rows.get(this.#conversations, task.conversation);
    return { ...task, messageCount: conversation.messageCount, live: this.#isLive(conversation, at) };
  }

  header(key: TaskKey, at: Moment) {
    const task = this.task(key, at);
    return task?.live === true ? this.#header(rows.get(this.#tasks, task.id)) : undefined;
  }

  addTask({ tenant, owner, taskId }: TaskKey, task: NewTask) {
    return this.#add(this.#tasks, {
      ...task,
      tenant,
      owner,
      taskId,
      summary: new Uint8Array(),
      segments: [],
      snapshot: 0,
      snapshotSequence: 0,
      snapshotPieces: new Map(),
      commands: new Map(),
      configs: new Map(),
    });
  }

  advanceTask(id: number, after: TaskAfter, { logBytes, ...progress }: Progress, change?: HeaderChange) {
    const task = rows.get(this.#tasks, id);
    if (BigInt(task.head) !== after.head || task.batch !== after.batch || task.fence !== after.fence) {
      return false;
    }
    Object.assign(task, progress, change, { logBytes: task.logBytes + logBytes });
    return true;
  }

  hideTask(id: number) {
    this.#tasks.delete(id);
  }

  putSummary(id: number, summary: Uint8Array) {
    rows.get(this.#tasks, id).summary = summary;
  }

  pageTasks(filter: TaskFilter, after: TaskPlace | undefined, limit: number, at: Moment) {
    return this.#tasksThatPass(filter, at)
      .sort(rows.compareTasks)
      .filter((task) => after === undefined || rows.compareTasks(task, after) > 0)
      .slice(0, limit)
      .map((task) => this.#header(task));
  }

  countTasks(filter: TaskFilter, at: Moment) {
    return this.#tasksThatPass(filter, at).length;
  }

  addSegment(id: number, first: number, { id: batch, count, bytes }: EncodedBatch) {
    rows.get(this.#tasks, id).segments.push({ first, count, batch, bytes });
  }

  segments(id: number, from: number) {
    const { segments } = rows.get(this.#tasks, id);
    return segments
      .filter(({ first, count }) => first + count > from)
      .map((segment) => ({ ...segment, bytes: new Uint8Array(segment.bytes) }));
  }

  segmentsAt(places: readonly EntryPlace[]) {
    return places.map(({ task, sequence }) =>
      rows.get(this.#tasks, task).segments.findLast(({ first }) => first <= sequence),
    );
  }

  commands(id: number) {
    const commands = rows.get(this.#tasks, id).commands.values();
    return Array.from(commands, (command) => ({ ...command, bytes: new Uint8Array(command.bytes) }));
  }

  addCommand(id: number, command: TaskCommand) {
    const { commands } = rows.get(this.#tasks, id);
    commands.set(command.id, commands.get(command.id) ?? command);
  }

  removeCommands(id: number, ids: readonly string[]) {
    for (const command of ids) {
      rows.get(this.#tasks, id).commands.delete(command);
    }
  }

  addSnapshotPieces(id: number, snapshot: number, _first: number, pieces: readonly Uint8Array[]) {
    const { snapshotPieces } = rows.get(this.#tasks, id);
    snapshotPieces.set(snapshot, [...(snapshotPieces.get(snapshot) ?? []), ...pieces]);
  }

  countSnapshotPieces(id: number, snapshot: number) {
    return this.snapshotPieces(id, snapshot).length;
  }

  nameSnapshot(id: number, snapshot: number, snapshotSequence: number) {
    const task = rows.get(this.#tasks, id);
    const snapshotPieces = new Map([[snapshot, this.snapshotPieces(id, snapshot)]]);
    Object.assign(task, { snapshot, snapshotSequence, snapshotPieces });
  }

  snapshotPieces(id: number, snapshot: number) {
    return rows.get(this.#tasks, id).snapshotPieces.get(snapshot) ?? [];
  }

  // ── Push notification configs ──

  putConfig(id: number, configId: string, bytes: Uint8Array) {
    rows.get(this.#tasks, id).configs.set(configId, bytes);
  }

  config(id: number, configId: string) {
    const bytes = rows.get(this.#tasks, id).configs.get(configId);
    return bytes && new Uint8Array(bytes);
  }

  configs(id: number) {
    const configs = [...rows.get(this.#tasks, id).configs].sort(([a], [b]) => compareIds(a, b));
    return configs.map(([, bytes]) => new Uint8Array(bytes));
  }

  removeConfig(id: number, configId: string) {
    return rows.get(this.#tasks, id).configs.delete(configId);
  }

  // ── Replicas ──

  addReplica(replica: string, heartbeatMs: number) {
    this.#replicas.set(replica, this.#replicas.get(replica) ?? { counter: 1n, heartbeatMs });
  }

  heartbeat(replica: string, heartbeatMs: number) {
    const record = this.#replicas.get(replica);
    if (record === undefined) {
      return false;
    }
    this.#replicas.set(replica, { counter: record.counter + 1n, heartbeatMs });
    return true;
  }

  removeReplica(replica: string, counter = this.#replicas.get(replica)?.counter) {
    if (this.#replicas.get(replica)?.counter === counter) {
      this.#replicas.delete(replica);
    }
  }

  replicas() {
    return Array.from(this.#replicas, ([replica, { counter }]) => ({ replica, counter }));
  }

  forgetReplicas(beforeMs: number) {
    for (const [replica, { heartbeatMs }] of this.#replicas) {
      if (heartbeatMs < beforeMs && this.lastRunningTask(replica) === undefined) {
        this.#replicas.delete(replica);
      }
    }
  }

  nextRunner(after: string) {
    const runners = [...this.#tasks.values()].flatMap(({ runner }) => runner ?? []);
    return runners.filter((runner) => compareIds(runner, after) > 0).sort(compareIds)[0];
  }

  lastRunningTask(replica: string) {
    return [...this.#tasks.values()].findLast(({ runner }) => runner === replica)?.id;
  }

  runningTasks(replica: string, { from, to }: IdRange, limit: number) {
    return [...this.#tasks.values()]
      .filter(({ id, runner }) => runner === replica && id >= from && id < to)
      .slice(0, limit)
      .map(rows.keyOf);
  }

  // ── What several statements need ──

  #add<R extends { readonly id: number }>(table: Map<number, R>, row: Omit<R, "id">): number {
    this.#lastId += 1;
    table.set(this.#lastId, { ...row, id: this.#lastId } as R);
    return this.#lastId;
  }

  #isHeld({ id }: rows.Conversation, { heldSince }: Moment): boolean {
    return this.#tasks.values().some(({ conversation, state, statusTimeMs }) => {
      const runs = state === TaskState.SUBMITTED || state === TaskState.WORKING;
      const waits = state === TaskState.INPUT_REQUIRED || state === TaskState.AUTH_REQUIRED;
      return conversation === id && (runs || (waits && statusTimeMs > heldSince));
    });
  }

  #isLive(conversation: rows.Conversation, at: Moment): boolean {
    return conversation.lastAccessMs >= at.liveSince || this.#isHeld(conversation, at);
  }

  #conversationsIn(scope: Scope | undefined): rows.Conversation[] {
    return [...this.#conversations.values()].filter((one) => scope === undefined || rows.isIn(one, scope));
  }

  #history(conversation: number): rows.Message[] {
    return [...this.#messages.values()].filter((one) => one.conversation === conversation).sort(rows.comparePlaces);
  }

  #messageIds(passes: (message: rows.Message) => boolean): number[] {
    return [...this.#messages.values()].filter(passes).map(({ id }) => id);
  }

  #tasksThatPass({ scope, conversation, state, statusTimeMsMin }: TaskFilter, at: Moment): rows.Task[] {
    return [...this.#tasks.values()].filter(
      (task) =>
        rows.isIn(task, scope) &&
        (conversation ?? task.conversation) === task.conversation &&
        (state ?? task.state) === task.state &&
        task.statusTimeMs >= statusTimeMsMin &&
        this.#isLive(rows.get(this.#conversations, task.conversation), at),
    );
  }

  #header(task: rows.Task) {
    const { id, head, batch, state, statusTimeMs, replica, fence, logBytes, snapshot, snapshotSequence } = task;
    const { contextId } = rows.get(this.#conversations, task.conversation);
    const header = { contextId, head: BigInt(head), batch, state, statusTimeMs, replica, fence, logBytes };
    const summary = new Uint8Array(task.summary);
    return {
      id,
      task: { key: rows.keyOf(task), ...header, summary, commands: this.commands(id) },
      ...(snapshot > 0 && { snapshot: { number: snapshot, sequence: snapshotSequence } }),
    };
  }
}
