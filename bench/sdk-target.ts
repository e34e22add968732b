// The SDK beside ours: A2A's own server for JavaScript, over gRPC, with the store in memory that it brings.
import { type AgentCard, TaskState } from "@a2a-js/sdk";
import { AgentEvent, type AgentExecutor, DefaultRequestHandler, InMemoryTaskStore } from "@a2a-js/sdk/server";
import { A2AService, grpcService, UserBuilder } from "@a2a-js/sdk/server/grpc";
import { Server, ServerCredentials } from "@grpc/grpc-js";
import { chunkText } from "./agent.ts";
import { carryOut } from "./child.ts";

/** The same as our benchmarks' agent does for `stream N`. */
const executor: AgentExecutor = {
  async execute({ taskId, contextId, userMessage }, bus) {
    const status = (state: TaskState) => ({ state, message: undefined, timestamp: new Date().toISOString() });
    bus.publish(
      AgentEvent.task({
        id: taskId,
        contextId,
        status: status(TaskState.TASK_STATE_SUBMITTED),
        artifacts: [],
        history: [userMessage],
        metadata: undefined,
      }),
    );
    const content = userMessage.parts[0]?.content;
    const count = content?.$case === "text" ? Number(content.value.split(" ")[1]) : 0;
    for (let index = 0; index < count; index++) {
      const part = {
        content: { $case: "text" as const, value: chunkText },
        metadata: undefined,
        filename: "",
        mediaType: "",
      };
      const artifact = {
        artifactId: "chunks",
        name: "",
        description: "",
        parts: [part],
        metadata: undefined,
        extensions: [],
      };
      bus.publish(
        AgentEvent.artifactUpdate({
          taskId,
          contextId,
          artifact,
          append: index > 0,
          lastChunk: false,
          metadata: undefined,
        }),
      );
      // As between the words of any agent: others get their turn.
      await Promise.resolve();
    }
    bus.publish(
      AgentEvent.statusUpdate({
        taskId,
        contextId,
        status: status(TaskState.TASK_STATE_COMPLETED),
        metadata: undefined,
      }),
    );
    bus.finished();
  },
  async cancelTask() {},
};

const card: AgentCard = {
  name: "bench",
  description: "",
  version: "1",
  supportedInterfaces: [{ url: "127.0.0.1", protocolBinding: "GRPC", tenant: "", protocolVersion: "1.0" }],
  provider: undefined,
  capabilities: { streaming: true, pushNotifications: false, extensions: [], extendedAgentCard: false },
  securitySchemes: {},
  securityRequirements: [],
  defaultInputModes: ["text/plain"],
  defaultOutputModes: ["text/plain"],
  skills: [],
  signatures: [],
};

const server = new Server();
const requestHandler = new DefaultRequestHandler(card, new InMemoryTaskStore(), executor);
server.addService(A2AService, grpcService({ requestHandler, userBuilder: UserBuilder.noAuthentication }));
const port = await new Promise<number>((resolve, reject) => {
  server.bindAsync("127.0.0.1:0", ServerCredentials.createInsecure(), (error, bound) =>
    error === null ? resolve(bound) : reject(error),
  );
});

const commands = { url: async () => `http://127.0.0.1:${port}` };
carryOut(commands);
