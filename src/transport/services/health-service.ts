import { create } from "@bufbuild/protobuf";
import { Code, ConnectError, type ServiceImpl } from "@connectrpc/connect";
import {
  type Health,
  type HealthCheckResponse,
  HealthCheckResponseSchema,
  HealthListResponseSchema,
  HealthCheckResponse_ServingStatus as Status,
} from "../../../gen/health/v1/health_pb.ts";
import type { Readiness } from "../../manager/replica/readiness.ts";

/**
 * `grpc.health.v1.Health` for the named services and for "", the server as a whole. All have the readiness of the task
 * manager. For an unknown service Check throws NOT_FOUND. Watch sends SERVICE_UNKNOWN and stays open, as the protocol
 * says, since a service may be added later.
 */
export function healthService(readiness: Readiness, services: readonly string[]): ServiceImpl<typeof Health> {
  const served = new Set(["", ...services]);
  const statusNow = () => (readiness.state === "ready" ? Status.SERVING : Status.NOT_SERVING);
  const responseOf = (status: Status): HealthCheckResponse => create(HealthCheckResponseSchema, { status });
  return {
    check({ service }) {
      if (!served.has(service)) throw new ConnectError(`No service "${service}" here`, Code.NotFound);
      return responseOf(statusNow());
    },

    list: () =>
      create(HealthListResponseSchema, {
        statuses: Object.fromEntries([...served].map((service) => [service, responseOf(statusNow())])),
      }),

    async *watch({ service }, { signal }) {
      let last: Status | undefined;
      while (!signal.aborted) {
        // Before the status is read: a change while the client reads it isn't missed.
        const changed = readiness.changed(signal);
        const status = served.has(service) ? statusNow() : Status.SERVICE_UNKNOWN;
        if (status !== last) yield responseOf(status);
        last = status;
        await changed;
      }
      throw signal.reason;
    },
  };
}
