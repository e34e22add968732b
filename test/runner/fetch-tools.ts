// Fetches what the tests need beside the packages of npm, if it is not there yet: a MongoDB server, a Chromium,
// libfaketime, the Python packages. `npm test` does it while other steps run.
import { findChromium } from "../chromium/chromium.ts";
import { findFaketime } from "../faketime/faketime.ts";
import { findMongod } from "../mongod/mongod-binary.ts";
import { pythonPackages } from "../python/packages.ts";

const hasMongodb = (process.env.MONGODB_URI ?? "") !== "";

await Promise.all([
  hasMongodb ? undefined : findMongod(),
  findChromium(),
  findFaketime(),
  ...["a2a-sdk.txt", "a2a-sdk-v03.txt", "card-verifiers.txt"].map(pythonPackages),
]);
