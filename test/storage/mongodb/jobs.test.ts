import { expect, test } from "vitest";
import { silentLogger } from "../../../src/runtime/logger.ts";
import { MongoJobs } from "../../../src/storage/mongodb/jobs.ts";

/** Far longer than a test may take. */
const foreverMs = 2 ** 31 - 1;

test("a closing ends the sleep of a job, and waits for what the job does then", async () => {
  const jobs = new MongoJobs(silentLogger);
  const done: string[] = [];
  jobs.run("sleeper", async () => {
    done.push("sleeps");
    await jobs.sleep(foreverMs);
    done.push(`closed: ${jobs.closed}`);
  });
  expect(done).toEqual(["sleeps"]);
  await jobs.close();
  expect(done).toEqual(["sleeps", "closed: true"]);
});

test("a sleep that begins after the closing is none", async () => {
  const jobs = new MongoJobs(silentLogger);
  await jobs.close();
  await jobs.sleep(foreverMs);
  expect(jobs.closed).toBe(true);
});
