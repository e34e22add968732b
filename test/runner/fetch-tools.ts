// Fetches what the tests need beside the packages of npm, if it is not there yet: a MongoDB server, a Chromium,
// libfaketime, the Python packages, and a client in Go, which is built. `npm test` does it while other steps run.
import { findChromium } from "../chromium/chromium.ts";
import { findFaketime } from "../faketime/faketime.ts";
import { goClient } from "../go/client-binary.ts";
import { findMongod } from "../mongod/mongod-binary.ts";
import { pythonPackages } from "../python/packages.ts";

const hasMongodb = (process.env.MONGODB_URI ?? "") !== "";

await Promise.all([
  hasMongodb ? undefined : findMongod(),
  findChromium(),
  goClient(),
  findFaketime(),
  ...["a2a-sdk.txt", "a2a-sdk-v03.txt", "card-verifiers.txt"].map(pythonPackages),
]);
