import { strict as assert } from "node:assert";
import { fromBinary, toBinary } from "@bufbuild/protobuf";
import { type TaskPushNotificationConfig, TaskPushNotificationConfigSchema } from "../../../gen/lf/a2a/v1/a2a_pb.ts";
import type { CaseSpec } from "../conformance-case.ts";
import * as given from "../fixtures.ts";

const key = given.taskKey("task");

export const pushCases: readonly CaseSpec[] = [
  {
    name: "a config is stored, replaced and deleted under its id",
    async run(storage) {
      await given.commit(storage, key, given.nothing);
      const config = given.configOf("one", "https://example.org/1");
      config.token = "secret";
      await storage.storePushNotification(key, config);
      assertConfig(await storage.getPushNotification(key, "one"), config);
      const other = given.configOf("one", "https://example.org/2");
      await storage.storePushNotification(key, other);
      assertConfig(await storage.getPushNotification(key, "one"), other);
      assert.equal((await storage.listPushNotifications(key)).length, 1);
      assert.equal(await storage.deletePushNotification(key, "one"), true);
      assert.equal(await storage.deletePushNotification(key, "one"), false);
      assert.equal(await storage.getPushNotification(key, "one"), undefined);
    },
  },
  {
    name: "unknown fields of a config are kept",
    async run(storage) {
      await given.commit(storage, key, given.nothing);
      const unknown = new Uint8Array([0xfa, 0x3f, 3, 1, 2, 3]);
      const known = toBinary(TaskPushNotificationConfigSchema, given.configOf("one"));
      const config = fromBinary(TaskPushNotificationConfigSchema, Buffer.concat([known, unknown]));
      await storage.storePushNotification(key, config);
      assertConfig(await storage.getPushNotification(key, "one"), config);
      assertConfig((await storage.listPushNotifications(key))[0], config);
    },
  },
  {
    name: "the configs of a task are listed by id, without those of others",
    async run(storage) {
      const other = given.taskKey("other");
      await given.commit(storage, key, given.nothing);
      await given.commit(storage, other, given.nothing);
      for (const id of ["b", "a", "ｚ", "😀", "B"]) {
        await storage.storePushNotification(key, given.configOf(id));
      }
      await storage.storePushNotification(other, given.configOf("a", "https://example.org/other"));
      const ids = (await storage.listPushNotifications(key)).map(({ id }) => id);
      assert.deepEqual(ids, ["B", "a", "b", "ｚ", "😀"]);
      assert.equal(await storage.deletePushNotification(key, "a"), true);
      assert.equal((await storage.getPushNotification(other, "a"))?.url, "https://example.org/other");
    },
  },
  {
    name: "storing a config of a task that doesn't exist fails as missing",
    async run(storage) {
      await given.assertFails("missing", () => storage.storePushNotification(key, given.configOf("one")));
      assert.deepEqual(await storage.listPushNotifications(key), []);
      assert.equal(await storage.getPushNotification(key, "one"), undefined);
      assert.equal(await storage.deletePushNotification(key, "one"), false);
      await given.commit(storage, key, given.nothing);
      assert.deepEqual(await storage.listPushNotifications(key), []);
    },
  },
  {
    name: "configs are removed with their task",
    async run(storage) {
      await given.commit(storage, key, given.nothing);
      await storage.storePushNotification(key, given.configOf("one"));
      await storage.deleteTask(key);
      assert.equal(await storage.getPushNotification(key, "one"), undefined);
      await given.commit(storage, key, given.nothing);
      assert.deepEqual(await storage.listPushNotifications(key), []);
    },
  },
];

function assertConfig(actual: TaskPushNotificationConfig | undefined, expected: TaskPushNotificationConfig): void {
  assert.ok(actual, `There is no config "${expected.id}"`);
  given.assertBytes(
    toBinary(TaskPushNotificationConfigSchema, actual),
    toBinary(TaskPushNotificationConfigSchema, expected),
  );
}
