import { clone } from "@bufbuild/protobuf";
import fc from "fast-check";
import { expect, test } from "vitest";
import { EntrySchema } from "../../gen/taskmanager/storage/v1/records_pb.ts";
import { decodeEntry, encodeEntry, storeEntry } from "../../src/log/entry-codec.ts";
import { acts, contextId, logOf, taskId } from "../domain/random-log.ts";

const ids = { taskId, contextId };

test("what is decided is folded and shown as it reads back from the storage, whatever its kind", () => {
  fc.assert(
    fc.property(acts, (all) => {
      for (const entry of logOf(all)) {
        const encoded = encodeEntry(entry);
        expect(storeEntry(clone(EntrySchema, entry), ids)).toEqual({ encoded, stored: decodeEntry(encoded, ids) });
      }
    }),
  );
});
