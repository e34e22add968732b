import { TaskError } from "../../domain/task-error.ts";
import type { ListenerHandler } from "../listener/listener.ts";
import { errorJson, respond } from "../listener/request-handler.ts";

/**
 * The handler below a path that the host leaves in the requests, such as `/a2a`: it gets their paths without it, and
 * all others are answered with 404. Throws TaskError INVALID_REQUEST for a prefix that no path could begin with.
 */
export function below(prefix: string | undefined, handle: ListenerHandler): ListenerHandler {
  if (prefix === undefined || prefix === "/") return handle;
  const path = prefix.replace(/\/$/, "");
  if (URL.parse(path, "http://host")?.pathname !== path)
    throw new TaskError("INVALID_REQUEST", "pathPrefix must be an absolute path such as /a2a");
  return (request, response) => {
    const { url = "" } = request;
    const rest = url.startsWith(path) ? url.slice(path.length) : undefined;
    if (rest === "" || rest?.startsWith("?")) request.url = `/${rest}`;
    else if (rest?.startsWith("/")) request.url = rest;
    else {
      const text = errorJson(404, "NOT_FOUND", `No such resource: the task manager is below ${path}`);
      respond(request, response, { status: 404 }, text);
      return;
    }
    handle(request, response);
  };
}
