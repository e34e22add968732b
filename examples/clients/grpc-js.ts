// A gRPC client on the official packages for Node: `@grpc/grpc-js`, and `@grpc/proto-loader`, which reads the .proto
// files at run time. It uses none of the task manager's own code. Run it against a server with the demo agent:
// `npm start` in one terminal, `npx node examples/clients/grpc-js.ts [HOST:PORT]` in another.
import { randomUUID } from "node:crypto";
import { join } from "node:path";
import {
  type Client,
  type ClientReadableStream,
  credentials,
  loadPackageDefinition,
  Metadata,
  type ServiceClientConstructor,
  type ServiceError,
  status,
} from "@grpc/grpc-js";
import { loadSync, type MessageTypeDefinition } from "@grpc/proto-loader";

const root = join(import.meta.dirname, "../..");
const definition = loadSync(
  [
    "lf/a2a/v1/a2a.proto",
    "taskmanager/v1/task_manager.proto",
    "google/rpc/status.proto",
    "google/rpc/error_details.proto",
  ],
  // The last two files, and the annotations that the contract imports, are in the npm package `google-proto-files`.
  {
    includeDirs: [join(root, "proto"), join(root, "node_modules/google-proto-files")],
    enums: String,
    longs: String,
    oneofs: true,
  },
);
const packages = loadPackageDefinition(definition) as unknown as {
  readonly lf: { readonly a2a: { readonly v1: { readonly A2AService: ServiceClientConstructor } } };
  readonly taskmanager: { readonly v1: { readonly TaskManagerService: ServiceClientConstructor } };
};

// ── The messages as proto-loader shows them, reduced to the fields that are used here ──

interface Message {
  readonly parts: readonly { readonly text?: string }[];
}
interface Task {
  readonly id: string;
  readonly status: { readonly state: string; readonly message?: Message };
  readonly artifacts: readonly { readonly parts: readonly { readonly text?: string }[] }[];
}
interface StreamResponse {
  readonly task?: Task;
  readonly message?: Message;
  readonly statusUpdate?: { readonly status: Task["status"] };
  readonly artifactUpdate?: { readonly artifact: Task["artifacts"][number] };
}
interface WatchTaskResponse {
  readonly sequence: string;
  readonly event?: StreamResponse;
}

// ── Calls ──

const target = process.argv[2] ?? "127.0.0.1:8080";
const a2a = new packages.lf.a2a.v1.A2AService(target, credentials.createInsecure());
const tasks = new packages.taskmanager.v1.TaskManagerService(target, credentials.createInsecure());

/** A2A reads a call without a version as one of 0.3. */
const version = new Metadata();
version.set("a2a-version", "1.0");

/** The client stops waiting after this time. gRPC sends the deadline to the server, which keeps it too. */
const deadlineMs = 30_000;

function unary<T>(client: Client, method: string, request: object): Promise<T> {
  return new Promise((resolve, reject) => {
    const call = (client as unknown as Record<string, (...args: unknown[]) => void>)[method];
    call?.call(
      client,
      request,
      version,
      { deadline: Date.now() + deadlineMs },
      (error: ServiceError | null, answer: T) => (error ? reject(error) : resolve(answer)),
    );
  });
}

function streaming<T>(client: Client, method: string, request: object): ClientReadableStream<T> {
  const call = (client as unknown as Record<string, (...args: unknown[]) => ClientReadableStream<T>>)[method];
  if (call === undefined) throw new Error(`No method ${method}`);
  return call.call(client, request, version);
}

function message(text: string, taskId = ""): object {
  // Each message has a new id. The same id sent again joins the first message, so a send can be retried safely.
  return { messageId: randomUUID(), taskId, role: "ROLE_USER", parts: [{ text }] };
}

/**
 * The ErrorInfo of an error, whose `reason` tells A2A's errors apart. The status details are a `google.rpc.Status` in a
 * trailer.
 */
function errorInfoOf(
  error: ServiceError,
): { readonly reason: string; readonly domain: string; readonly metadata: Record<string, string> } | undefined {
  const [bytes] = error.metadata.get("grpc-status-details-bin");
  if (!(bytes instanceof Buffer)) return undefined;
  const { details } = read<{ readonly details: readonly { readonly type_url: string; readonly value: Buffer }[] }>(
    "google.rpc.Status",
    bytes,
  );
  const found = details.find((detail) => detail.type_url.endsWith("/google.rpc.ErrorInfo"));
  return found && read("google.rpc.ErrorInfo", found.value);
}

function read<T>(type: string, bytes: Buffer): T {
  return (definition[type] as MessageTypeDefinition<object, object>).deserialize(bytes) as T;
}

function say(what: string, value: unknown): void {
  console.log(`${what}: ${JSON.stringify(value)}`);
}

const textOf = (parts: readonly { readonly text?: string }[]) => parts.map(({ text }) => text ?? "").join("");

// ── The tour ──

// Send a message and wait until its task has ended.
const sent = await unary<{ readonly task?: Task }>(a2a, "SendMessage", { message: message("hello") });
say("sent", { state: sent.task?.status.state, text: textOf(sent.task?.artifacts[0]?.parts ?? []) });

// Send a message and stream its task: first the task, then its updates.
const kinds: string[] = [];
for await (const event of streaming<StreamResponse>(a2a, "SendStreamingMessage", { message: message("stream 3") })) {
  kinds.push((event as StreamResponse).statusUpdate?.status.state ?? Object.keys(event as object)[0] ?? "");
}
say("streamed", kinds);

// Make a task wait for input, read it by its id, subscribe to it, and answer it.
const asked = await unary<{ readonly task?: Task }>(a2a, "SendMessage", { message: message("ask which one?") });
const id = asked.task?.id ?? "";
const got = await unary<Task>(a2a, "GetTask", { id });
say("got", { state: got.status.state, question: textOf(got.status.message?.parts ?? []) });
const subscription = streaming<StreamResponse>(a2a, "SubscribeToTask", { id });
const seen: string[] = [];
for await (const event of subscription) {
  const { task, statusUpdate } = event as StreamResponse;
  seen.push(task?.status.state ?? statusUpdate?.status.state ?? "artifact");
  if (task) await unary(a2a, "SendMessage", { message: message("that one", id) });
}
say("subscribed", seen);

// Watch the same task by cursor: stop after two events, then resume after the last one. Each sequence comes once.
const sequences: string[] = [];
let cursor = "0";
for (const limit of [2, Number.POSITIVE_INFINITY]) {
  const watch = streaming<WatchTaskResponse>(tasks, "WatchTask", { taskId: id, afterSequence: cursor });
  let events = 0;
  for await (const response of watch) {
    const { sequence, event } = response as WatchTaskResponse;
    if (event === undefined) continue;
    cursor = sequence;
    sequences.push(sequence);
    if (++events === limit) break;
  }
  // Without a cancel the call would continue without a reader. A canceled call emits an error, which is ignored here.
  watch.on("error", () => undefined);
  watch.cancel();
}
say("watched", {
  increasing: sequences.every((sequence, index) => index === 0 || BigInt(sequence) > BigInt(sequences[index - 1] ?? 0)),
  events: sequences.length,
});

// Cause an error, and read its reason.
try {
  await unary(a2a, "CancelTask", { id });
} catch (error) {
  const refused = error as ServiceError;
  const info = errorInfoOf(refused);
  say("refused", {
    code: status[refused.code],
    text: refused.details.replaceAll(id, "ID"),
    reason: info?.reason,
    domain: info?.domain,
  });
}

a2a.close();
tasks.close();
