import type { JsonObject } from "@bufbuild/protobuf";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { extensionsParameter } from "../calls/a2a-extensions.ts";
import { namedVersion, type VersionSource } from "../calls/a2a-version.ts";
import { type Admission, takeAsServed } from "../calls/admission.ts";
import { callStreaming, callUnary } from "../calls/call-method.ts";
import { eventIdOf } from "../calls/event-sequence.ts";
import { type Dialect, errorOf, notFound, RpcFault, type RpcMethod } from "../json-rpc/dialect.ts";
import { readJson } from "../proto-json/read-json.ts";
import { toA2AJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { type MethodV03, methodsV03 } from "./methods.ts";

/**
 * Whether a request is version 0.3's: it says so, or names no version, which means 0.3 (R138), and one of its methods.
 */
export function isV03(method: string, request: VersionSource): boolean {
  try {
    const version = namedVersion(request);
    return version === undefined ? Object.hasOwn(methodsV03, method) : version === "0.3";
  } catch {
    // What is no version is refused as such.
    return false;
  }
}

/**
 * A2A 0.3 over JSON-RPC, on the same tasks (R196, R198): each call is made as one of version 1.0, and what comes of it
 * said in the older form.
 */
export function dialectV03(services: readonly ServedService[], gate: Admission): Dialect {
  const contract = services.find(({ service }) => service.typeName === A2AService.typeName);
  return {
    find(name) {
      const known = Object.hasOwn(methodsV03, name) ? methodsV03[name] : undefined;
      const call = known && contract?.methods[known.rpc];
      if (known === undefined || call === undefined) throw new RpcFault(notFound(name));
      return rpcMethod(known, call, gate);
    },
    errorOf,
  };
}

/** What `A2A-Extensions` was called, in both directions. */
const olderParameter = "X-A2A-Extensions";

function rpcMethod(known: MethodV03, call: ServedService["methods"][string], gate: Admission): RpcMethod {
  const { method } = call;
  const told = (message: Parameters<typeof toA2AJson>[1]) =>
    JSON.stringify(known.fromV1(toA2AJson(method.output, message) as JsonObject));
  return {
    desc: method,
    isStream: call.kind === "server_streaming",
    async *run(params, context) {
      const { requestHeader, responseHeader } = context;
      takeAsServed(context);
      const requested = requestHeader.get(olderParameter);
      if (requested !== null) requestHeader.append(extensionsParameter, requested);
      gate(context);
      const activated = responseHeader.get(extensionsParameter);
      if (activated !== null) responseHeader.set(olderParameter, activated);
      const request = readJson(method.input, known.toV1(params));
      if (call.kind === "unary") yield { json: told(await callUnary(call, request, context)) };
      else
        for await (const event of callStreaming(call, request, context))
          yield { json: told(event), id: eventIdOf(event) };
    },
  };
}
