import { TaskError } from "../../domain/task-error.ts";
import { freePlainBytes, plainRatioMax, requestValuesMax } from "../calls/call-limits.ts";

export function requestTooLarge(): TaskError {
  return new TaskError("TOO_LARGE", "The request is larger than requests may be");
}

export function tooManyValues(): TaskError {
  return new TaskError("TOO_LARGE", `The request has more than ${requestValuesMax} values`);
}

export function compressedTooMuch(): TaskError {
  return new TaskError(
    "TOO_LARGE",
    `The request is compressed by more than ${plainRatioMax}:1, which is accepted up to ${freePlainBytes} plain bytes`,
  );
}

export function tooManyPieces(): TaskError {
  return new TaskError("TOO_LARGE", "The request comes in too many pieces of a few bytes");
}
