import assert from "node:assert/strict";
import { create, toBinary } from "@bufbuild/protobuf";
import {
  type Message,
  MessageSchema,
  type SendMessageRequest,
  SendMessageRequestSchema,
} from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { type SendOptions, SendOptionsSchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import type { Caller, Scope } from "../../domain/scope.ts";
import { TaskError } from "../../domain/task-error.ts";
import { checkRequest } from "../../domain/validation/check-request.ts";
import { checkInputModes } from "../../domain/validation/input-modes.ts";
import type { MessageClaim } from "../../storage/storage.ts";
import type { ManagerDeps } from "../manager-deps.ts";
import { contentHash } from "./content-hash.ts";

/** A message that has passed all checks, and what belongs to it. Every step of the intake takes this one value. */
export interface Incoming {
  /** Where the message belongs: the caller's tenant and owner, and nothing else of the caller. */
  readonly scope: Scope;
  readonly caller: Caller;
  readonly message: Message;
  /** What the sender asks for. Stored with the message, for the agent. */
  readonly options: SendOptions;
  /**
   * How repeats of the message are found. Absent for a message to an existing task, whose log finds its repeats, and
   * where the duplicate window is 0. It names the id of the task that the message may become.
   */
  readonly claim: MessageClaim | undefined;
}

/**
 * Checks a request to send a message. Throws TaskError INVALID_REQUEST, TOO_LARGE, PUSH_NOTIFICATION_NOT_SUPPORTED and
 * CONTENT_TYPE_NOT_SUPPORTED.
 */
export function checkIncoming(
  deps: ManagerDeps,
  request: SendMessageRequest,
  caller: Caller,
  streaming: boolean,
): Incoming {
  checkRequest(SendMessageRequestSchema, request);
  const { message, configuration } = request;
  // The check above refuses a request without its REQUIRED message.
  assert(message);
  const { maxEventBytes, duplicateWindowMs, messageIds } = deps.options;
  const encoded = toBinary(MessageSchema, message);
  const options = sendOptions(request, streaming);
  // One entry holds both.
  const bytes = encoded.byteLength + toBinary(SendOptionsSchema, options).byteLength;
  if (bytes > maxEventBytes) {
    throw new TaskError(
      "TOO_LARGE",
      `The message and its options have ${bytes} bytes; the limit is ${maxEventBytes} bytes`,
    );
  }
  if (configuration?.taskPushNotificationConfig !== undefined) {
    throw new TaskError("PUSH_NOTIFICATION_NOT_SUPPORTED", "Push notifications are not supported");
  }
  checkInputModes(message, deps.processor.card);
  const claim: MessageClaim | undefined =
    message.taskId !== "" || duplicateWindowMs === 0
      ? undefined
      : {
          messageId: message.messageId,
          contentHash: contentHash(message, encoded),
          taskId: deps.newId(),
          windowMs: duplicateWindowMs,
          strict: messageIds === "strict",
        };
  return { scope: { tenant: caller.tenant, owner: caller.owner }, caller, message, options, claim };
}

function sendOptions({ configuration, metadata }: SendMessageRequest, streaming: boolean): SendOptions {
  return create(SendOptionsSchema, {
    blocking: !streaming && !(configuration?.returnImmediately ?? false),
    streaming,
    acceptedOutputModes: configuration?.acceptedOutputModes ?? [],
    ...(configuration?.historyLength !== undefined && { historyLength: configuration.historyLength }),
    ...(metadata !== undefined && { metadata }),
  });
}
