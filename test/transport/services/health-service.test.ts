import { type Client, Code, ConnectError, createClient, createRouterTransport } from "@connectrpc/connect";
import { beforeEach, describe, expect, it } from "vitest";
import { Health, HealthCheckResponse_ServingStatus as Status } from "../../../gen/health/v1/health_pb.ts";
import { ReadinessTracker, storageSilenceMs } from "../../../src/manager/replica/readiness.ts";
import { healthService } from "../../../src/transport/services/health-service.ts";
import { ManualClock, settle } from "../../runtime/manual-clock.ts";

let clock: ManualClock;
let readiness: ReadinessTracker;
let client: Client<typeof Health>;
let shutdown: AbortController;

beforeEach(() => {
  clock = new ManualClock();
  readiness = new ReadinessTracker(clock);
  readiness.storageAnswered();
  shutdown = new AbortController();
  const service = healthService(readiness, ["some.Service", "other.Service"]);
  client = createClient(
    Health,
    createRouterTransport(({ service: serve }) => serve(Health, service), {
      router: { shutdownSignal: shutdown.signal },
    }),
  );
});

function watch(service: string, signal?: AbortSignal) {
  const seen: Status[] = [];
  const end = (async () => {
    try {
      for await (const { status } of client.watch({ service }, signal ? { signal } : {})) seen.push(status);
      return "ended";
    } catch (error) {
      return Code[ConnectError.from(error).code];
    }
  })();
  return { seen, end };
}

describe("Check", () => {
  it.each([
    "",
    "some.Service",
    "other.Service",
  ])('says of "%s" whether there should be work for it', async (service) => {
    expect((await client.check({ service })).status).toBe(Status.SERVING);
    await clock.advance(storageSilenceMs);
    expect((await client.check({ service })).status).toBe(Status.NOT_SERVING);
    readiness.storageAnswered();
    expect((await client.check({ service })).status).toBe(Status.SERVING);
    readiness.drain();
    expect((await client.check({ service })).status).toBe(Status.NOT_SERVING);
  });

  it("doesn't find a service that isn't here", async () => {
    await expect(client.check({ service: "no.Service" })).rejects.toMatchObject({ code: Code.NotFound });
  });
});

it("List says it of all", async () => {
  const statusesNow = async () =>
    Object.entries((await client.list({})).statuses).map(([service, { status }]) => [service, status]);
  expect(await statusesNow()).toEqual(
    ["", "some.Service", "other.Service"].map((service) => [service, Status.SERVING]),
  );
  readiness.drain();
  expect(await statusesNow()).toEqual(
    ["", "some.Service", "other.Service"].map((service) => [service, Status.NOT_SERVING]),
  );
});

describe("Watch", () => {
  it("tells every change once, as long as the client listens", async () => {
    const { seen, end } = watch("some.Service");
    await settle(10);
    readiness.storageAnswered();
    await clock.advance(storageSilenceMs);
    await settle(10);
    readiness.storageAnswered();
    await settle(10);
    readiness.drain();
    await settle(10);
    expect(seen).toEqual([Status.SERVING, Status.NOT_SERVING, Status.SERVING, Status.NOT_SERVING]);
    shutdown.abort(new ConnectError("The server is going down", Code.Unavailable));
    expect(await end).toBe("Unavailable");
  });

  it("says of a service that isn't here that it is unknown, and stays open", async () => {
    const abort = new AbortController();
    const { seen, end } = watch("no.Service", abort.signal);
    await settle(10);
    await clock.advance(storageSilenceMs);
    readiness.storageAnswered();
    await settle(10);
    expect(seen).toEqual([Status.SERVICE_UNKNOWN]);
    abort.abort();
    expect(await end).toBe("Canceled");
  });
});
