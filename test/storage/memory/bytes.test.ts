import { create, toBinary } from "@bufbuild/protobuf";
import { expect, test } from "vitest";
import { createMapStorage } from "../../../examples/storages/map/map-storage.ts";
import { MessageSchema, PartSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import { EntrySchema } from "../../../gen/taskmanager/storage/v1/records_pb.ts";
import { createMemoryStorage } from "../../../src/storage/memory/storage.ts";
import { creation, scope, taskKey } from "../sqlite/fixtures.ts";

for (const [name, open] of Object.entries({ memory: createMemoryStorage, map: createMapStorage })) {
  test(`${name}: the bytes of a message that was read from a log belong to the caller`, async () => {
    await using storage = open();
    const message = create(MessageSchema, {
      messageId: "m",
      parts: [create(PartSchema, { content: { case: "raw", value: new Uint8Array([1, 2, 3]) } })],
    });
    const entry = toBinary(EntrySchema, create(EntrySchema, { body: { case: "message", value: { message } } }));
    await storage.appendTask(taskKey("t"), {
      ...creation("c", entry),
      messages: [{ index: 0, messageId: "m", timeMs: 1 }],
    });

    const read = await storage.getMessage(scope, "m");
    (read?.parts[0]?.content.value as Uint8Array).fill(9);

    expect((await storage.getMessage(scope, "m"))?.parts).toEqual(message.parts);
    expect((await storage.readTask(taskKey("t"), 0n, 1000)).map(({ bytes }) => bytes)).toEqual([entry]);
  });
}
