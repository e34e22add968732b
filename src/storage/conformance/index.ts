import { appendCases } from "./append.ts";
import { appendRaceCases } from "./append-races.ts";
import { claimCases } from "./claims.ts";
import { closedCases } from "./closed.ts";
import type { CaseSpec, ConformanceCase, ConformanceExtras, OpenStorage } from "./conformance-case.ts";
import { conversationCases } from "./conversations.ts";
import { durabilityCases } from "./durability.ts";
import { expiryCases } from "./expiry.ts";
import { historyCases } from "./history.ts";
import { idCases } from "./ids.ts";
import { incarnationCases } from "./incarnations.ts";
import { listCases } from "./list.ts";
import { messageCases } from "./messages.ts";
import { pushCases } from "./push.ts";
import { readCases } from "./read.ts";
import { replicaCases } from "./replicas.ts";
import { requestCases } from "./requests.ts";
import { scopeCases } from "./scopes.ts";
import { snapshotCases } from "./snapshot.ts";

export type { ConformanceCase, ConformanceExtras, OpenStorage } from "./conformance-case.ts";

const groups: Readonly<Record<string, readonly CaseSpec[]>> = {
  append: appendCases,
  "append races": appendRaceCases,
  read: readCases,
  list: listCases,
  snapshot: snapshotCases,
  requests: requestCases,
  history: historyCases,
  messages: messageCases,
  claims: claimCases,
  conversations: conversationCases,
  expiry: expiryCases,
  incarnations: incarnationCases,
  "push notifications": pushCases,
  replicas: replicaCases,
  ids: idCases,
  scopes: scopeCases,
  closed: closedCases,
};

/**
 * All that a storage must do, as cases for any test runner. Each opens a storage of its own with `open`, which must give an empty one every
 * time, and disposes it; cases may run at once. Durability is checked only where `extras.reopen` is given. A case may take some seconds on
 * a slow database: allow each a minute.
 */
export function storageConformance(open: OpenStorage, extras: ConformanceExtras = {}): readonly ConformanceCase[] {
  const cases = Object.entries(groups).flatMap(([group, specs]) =>
    specs.map((spec): ConformanceCase => {
      const run = async () => {
        await using storage = await open(spec.options);
        await spec.run(storage);
      };
      return { group, name: spec.name, run };
    }),
  );
  const { reopen } = extras;
  if (reopen === undefined) {
    return cases;
  }
  const durability = durabilityCases.map((spec): ConformanceCase => {
    const run = async () => {
      await using storage = await open();
      await spec.run(storage, reopen);
    };
    return { group: "durability", name: spec.name, run };
  });
  return [...cases, ...durability];
}
