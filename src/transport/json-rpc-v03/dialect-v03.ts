import type { JsonObject } from "@bufbuild/protobuf";
import type { MethodImplSpec } from "@connectrpc/connect";
import { A2AService } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { extensionsParameter } from "../admission/a2a-extensions.ts";
import { namedVersion, type VersionSource } from "../admission/a2a-version.ts";
import { takeAsServed } from "../admission/admission.ts";
import { type Dialect, type DialectMethod, errorOf, methodNotFound, RpcFault } from "../json-rpc/dialect.ts";
import { readJson } from "../proto-json/read-json.ts";
import { toA2AJson } from "../proto-json/write-json.ts";
import type { ServedService } from "../services/services.ts";
import { type MethodV03, methodsV03 } from "./methods.ts";

/**
 * Whether a call is one of version 0.3: its request names 0.3, or names no version, which means 0.3 (R138), and the
 * method is one of 0.3.
 */
export function isV03(method: string, request: VersionSource): boolean {
  try {
    const version = namedVersion(request);
    return version === undefined ? Object.hasOwn(methodsV03, method) : version === "0.3";
  } catch {
    // A malformed version is rejected by the admission.
    return false;
  }
}

/**
 * A2A 0.3 over JSON-RPC, on the same tasks (R196, R198). Each call is made as a call of version 1.0, and its result is
 * translated to the older form.
 */
export function dialectV03(services: readonly ServedService[]): Dialect {
  const contract = services.find(({ service }) => service.typeName === A2AService.typeName);
  return {
    find(name) {
      const known = Object.hasOwn(methodsV03, name) ? methodsV03[name] : undefined;
      const method = known && contract?.methods[known.rpc];
      if (known === undefined || method === undefined) throw new RpcFault(methodNotFound(name));
      return olderMethod(known, method);
    },
    errorOf,
  };
}

/** The older name of `A2A-Extensions`, in both directions. */
const olderParameter = "X-A2A-Extensions";

function olderMethod({ toV1, fromV1 }: MethodV03, method: MethodImplSpec): DialectMethod {
  const { input, output } = method.method;
  return {
    method,
    prepare(context) {
      takeAsServed(context);
      const requested = context.requestHeader.get(olderParameter);
      if (requested !== null) context.requestHeader.append(extensionsParameter, requested);
    },
    read(params, { responseHeader }) {
      const activated = responseHeader.get(extensionsParameter);
      if (activated !== null) responseHeader.set(olderParameter, activated);
      return readJson(input, toV1(params));
    },
    encodesAlone: true,
    write: (message) => JSON.stringify(fromV1(toA2AJson(output, message) as JsonObject)),
  };
}
