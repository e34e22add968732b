import { createServiceImplSpec, type ServiceImplSpec } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { ConversationService } from "../../../gen/taskmanager/v1/conversation_pb.ts";
import { TaskManagerService } from "../../../gen/taskmanager/v1/task_manager_pb.ts";
import type { TaskManager } from "../../manager/task-manager.ts";
import type { CallSettings } from "../calls/call-settings.ts";
import { a2aService } from "./a2a-service.ts";
import { conversationService } from "./conversation-service.ts";
import { taskManagerService } from "./task-manager-service.ts";

/** A service with its implementation, as every binding serves it. */
export type ServedService = ServiceImplSpec;

/** The services that every binding serves, so that a call has the same result over each of them. */
export function servedServices(manager: TaskManager, settings: CallSettings): readonly ServedService[] {
  return [
    createServiceImplSpec<typeof A2AService>(A2AService, a2aService(manager, settings)),
    createServiceImplSpec<typeof TaskManagerService>(TaskManagerService, taskManagerService(manager, settings)),
    createServiceImplSpec<typeof ConversationService>(ConversationService, conversationService(manager)),
  ];
}
