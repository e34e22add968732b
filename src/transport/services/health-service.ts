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
 * `grpc.health.v1.Health` for the named services and for "", the server as a whole. All are as ready as the task
 * manager: they share its storage and its end. A service that isn't here is NOT_FOUND to Check; Watch says
 * SERVICE_UNKNOWN and stays open, as the protocol wants it, since elsewhere a service may appear later.
 */
export function healthService(readiness: Readiness, services: readonly string[]): ServiceImpl<typeof Health> {
  const served = new Set(["", ...services]);
  const statusNow = () => (readiness.state === "ready" ? Status.SERVING : Status.NOT_SERVING);
  const told = (status: Status): HealthCheckResponse => create(HealthCheckResponseSchema, { status });
  return {
    check({ service }) {
      if (!served.has(service)) throw new ConnectError(`No service "${service}" here`, Code.NotFound);
      return told(statusNow());
    },

    list: () =>
      create(HealthListResponseSchema, {
        statuses: Object.fromEntries([...served].map((service) => [service, told(statusNow())])),
      }),

    async *watch({ service }, { signal }) {
      let last: Status | undefined;
      while (!signal.aborted) {
        // Asked for before the status is read, and so before the client takes its time to read it: no change falls
        // between.
        const changed = readiness.changed(signal);
        const status = served.has(service) ? statusNow() : Status.SERVICE_UNKNOWN;
        if (status !== last) yield told(status);
        last = status;
        await changed;
      }
      throw signal.reason;
    },
  };
}
