import { join } from "node:path";
import { expect, test } from "vitest";
import { openStorage, shownStorageUrl, storageUrlFault } from "../../src/server/open-storage.ts";
import { temporaryFolder } from "../storage/temporary-folder.ts";

test.each([
  "memory:",
  "sqlite:./data/tasks.db",
  "sqlite:/var/tasks.db",
  "mongodb://localhost:27017/a2a",
  "mongodb://u:p@a,b/a2a?replicaSet=rs0",
  "mongodb+srv://host/a2a",
  "mongodb://u:p%40%2F@[::1]:1,b.example:2/a2a?authMechanismProperties=A:b/c",
])("%s can be used", (url) => {
  expect(storageUrlFault(url)).toBe(undefined);
});

test("the storage that a URL names is opened", async () => {
  await using memory = await openStorage("memory:");
  await using sqlite = await openStorage(`sqlite:${join(temporaryFolder(), "tasks.db")}`, { maxHistoryLength: 5 });
  expect([memory.traits.durable, sqlite.traits.durable]).toEqual([false, true]);
});

test.each([
  "",
  "memory",
  "memory:x",
  "sqlite:",
  "sqlite::memory:",
  "mongodb:",
  "mongodb:host",
  "mongodb:///a2a",
  "mysql://host/a2a",
  "constructor:",
  "mongodb://user:secret/db",
  "mongodb://user:s3c/ret@h/db",
  "mongodb://user:s3@cret@h/db",
  "mongodb://user:s3?cret@h/db",
  "mongodb://user:s3#cret@h/db",
  "mongodbb://user:secret@h/db",
])('"%s" can\'t', async (url) => {
  expect(storageUrlFault(url)).toEqual(expect.any(String));
  await expect(openStorage(url)).rejects.toThrow(/must be(?!.*(cret|s3))/);
});

test.each([
  ["mongodb://user:secret@a:1,b:2/a2a", "mongodb://***@a:1,b:2/a2a"],
  ["mongodb://user:secret@a/a2a?tlsCertificateKeyFilePassword=secret", "mongodb://***@a/a2a"],
  ["mongodb://a/a2a?authMechanismProperties=AWS_SESSION_TOKEN:secret", "mongodb://a/a2a"],
  ["mongodb://a/a2a?authMechanismProperties=AWS_SESSION_TOKEN:x@secret", "mongodb://***@***"],
  ["mongodb://user:s3c/ret@h/db", "mongodb://***@h/db"],
  ["mongodb://user:s3@cret@h/db", "mongodb://***@h/db"],
  ["mongodb://user:s3?cret@h/db", "mongodb://***@***"],
  ["mongodb://user:secret", "mongodb://***"],
  ["mongodb+srv://user:secret@h/db", "mongodb+srv://***@h/db"],
  ["mongodb://[::1]:27017/a2a", "mongodb://[::1]:27017/a2a"],
  ["mongodbb://user:secret@h/db", "of an unknown scheme"],
  ["secret", "of an unknown scheme"],
  ["mongodb://host/a2a", "mongodb://host/a2a"],
  ["sqlite:./data/tasks.db", "sqlite:./data/tasks.db"],
])("%s is shown without its password", (url, shown) => {
  expect(shownStorageUrl(url)).toBe(shown);
});
