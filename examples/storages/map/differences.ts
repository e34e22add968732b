/** What the map storage can't do, for the suite: each of these cases must fail. */
export const differences: Readonly<Record<string, string>> = {
  "durability: *": "It keeps everything in the memory of its process",
  "faults: *":
    "Each of its calls is one step in its process: there is no command between it and a database that could fail",
};
