import type { DescMessage, MessageShape } from "@bufbuild/protobuf";
import { invalidRequest } from "../task-error.ts";
import { validate } from "./validate.ts";

/** Throws TaskError INVALID_REQUEST, which names every fault (R4, R5). */
export function checkRequest<Desc extends DescMessage>(schema: Desc, request: MessageShape<Desc>): void {
  const violations = validate(schema, request);
  if (violations.length > 0) throw invalidRequest(violations);
}
