import type { StreamResponse, TaskStatus } from "../../gen/lf/a2a/v1/a2a_pb.ts";
import { textOf } from "../agent/processor-events.ts";
import { stateNames } from "../domain/task-state.ts";

/** The events of one task in a line each, see `Turn.shown`. */
export function shownBy(events: readonly StreamResponse[]): readonly string[] {
  // Only the first chunk of an artifact has its name.
  const names = new Map<string, string>();
  return events.map(({ payload }) => {
    switch (payload.case) {
      case "statusUpdate": {
        const { status } = payload.value;
        const text = status?.message === undefined ? "" : textOf(status.message);
        return `${stateOf(status)}${text === "" ? "" : `: ${text}`}`;
      }
      case "artifactUpdate": {
        const { artifact, append } = payload.value;
        if (artifact === undefined) return "artifact";
        const { artifactId, name } = artifact;
        if (name !== "" || !append) names.set(artifactId, name === "" ? artifactId : name);
        return `artifact ${names.get(artifactId) ?? artifactId}${append ? " +" : ":"} ${textOf(artifact)}`;
      }
      default:
        return payload.case ?? "";
    }
  });
}

/** A state without its prefix. */
export function stateOf(status: TaskStatus | undefined): string {
  return (stateNames[status?.state ?? 0] ?? "").replace("TASK_STATE_", "");
}
