import { strict as assert } from "node:assert";
import type { CaseSpec, ConformanceCase, ConformanceOptions, OpenStorage } from "./conformance-case.ts";
import { claimCases } from "./conversations/claims.ts";
import { conversationCases } from "./conversations/conversations.ts";
import { deletionCases } from "./conversations/deletion.ts";
import { expiryCases } from "./conversations/expiry.ts";
import { historyCases } from "./conversations/history.ts";
import { incarnationCases } from "./conversations/incarnations.ts";
import { messageCases } from "./conversations/messages.ts";
import { declareDifferences } from "./declared-differences.ts";
import { argumentCases } from "./engine/arguments.ts";
import { closedCases } from "./engine/closed.ts";
import { durabilityCases } from "./engine/durability.ts";
import { faultCases } from "./engine/faults.ts";
import { removalFaultCases } from "./engine/faults-removal.ts";
import { idCases } from "./engine/ids.ts";
import { replicaCases } from "./engine/replicas.ts";
import { scopeCases } from "./engine/scopes.ts";
import { appendCases } from "./tasks/append.ts";
import { appendRaceCases } from "./tasks/append-races.ts";
import { commandCases } from "./tasks/commands.ts";
import { listCases } from "./tasks/list.ts";
import { pushCases } from "./tasks/push.ts";
import { readCases } from "./tasks/read.ts";
import { snapshotCases } from "./tasks/snapshot.ts";

export type {
  ConformanceCase,
  ConformanceOptions,
  Fault,
  OpenStorage,
  OpenUnderFault,
  ReopenStorage,
  StorageUnderFault,
} from "./conformance-case.ts";
export { caseName } from "./declared-differences.ts";

const groups: Readonly<Record<string, readonly CaseSpec[]>> = {
  append: appendCases,
  "append races": appendRaceCases,
  read: readCases,
  list: listCases,
  snapshot: snapshotCases,
  commands: commandCases,
  history: historyCases,
  messages: messageCases,
  claims: claimCases,
  conversations: conversationCases,
  "deletion of a conversation": deletionCases,
  expiry: expiryCases,
  incarnations: incarnationCases,
  "push notifications": pushCases,
  replicas: replicaCases,
  ids: idCases,
  arguments: argumentCases,
  scopes: scopeCases,
  closed: closedCases,
};

/**
 * All promises of a storage, as cases for any test runner. Each case opens storages with `open`, which must return an
 * empty one every time, and disposes them. Cases may run at the same time. All storages get the same cases. What a
 * storage can't do is declared in `options.differences`; so are durability and faults if there is no hook for them. A
 * case may take some seconds on a slow database, so allow a minute.
 *
 * Throws for a declared difference that names no case.
 */
export function storageConformance(open: OpenStorage, options: ConformanceOptions = {}): readonly ConformanceCase[] {
  const { reopen, faults, differences = {} } = options;
  const cases = Object.entries(groups).flatMap(([group, specs]) =>
    specs.map((spec): ConformanceCase => {
      const run = async () => {
        await using storage = await open(spec.options);
        await spec.run(storage);
      };
      return { group, name: spec.name, run };
    }),
  );
  const durability = durabilityCases.map((spec): ConformanceCase => {
    const run = async () => {
      assert.ok(reopen, "This case needs the option `reopen`");
      await using storage = await open();
      assert.equal(storage.traits.durable, true, "A storage with the option `reopen` must have the trait `durable`");
      await spec.run(storage, reopen);
    };
    return { group: "durability", name: spec.name, run };
  });
  const failing = [...faultCases, ...removalFaultCases].map((spec): ConformanceCase => {
    const run = async () => {
      assert.ok(faults, "This case needs the option `faults`");
      await spec.run(faults);
    };
    return { group: "faults", name: spec.name, run };
  });
  return declareDifferences([...cases, ...durability, ...failing], differences);
}
