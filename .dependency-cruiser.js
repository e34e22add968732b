/** The layers of ARCHITECTURE.md as rules: which folder may import which. `npm test` checks them. */
const layer = (from, allowed, why) => ({
  name: `layer-${from}`,
  comment: why,
  severity: "error",
  from: { path: `^src/${from}/` },
  to: { path: "^(src|gen|test|bench)/", pathNot: `^(${allowed.join("|")}|src/${from}/)` },
});

const port = "src/storage/(storage|storage-error)\\.ts$";

export default {
  forbidden: [
    {
      name: "no-cycles",
      comment: "Files in a cycle can only be understood together.",
      severity: "error",
      from: {},
      to: { circular: true },
    },
    {
      name: "no-tests-in-src",
      severity: "error",
      from: { path: "^(src|gen)/" },
      to: { path: "^(test|bench|scripts)/" },
    },
    layer("domain", ["gen/"], "Pure: no I/O, no clock, no randomness."),
    { name: "domain-is-pure", severity: "error", from: { path: "^src/domain/" }, to: { dependencyTypes: ["core"] } },
    layer("runtime", [], "Knows nothing of A2A."),
    layer("storage", ["gen/", "src/domain/", "src/runtime/"], "Knows no layer above it."),
    {
      name: "engines-apart",
      comment: "An engine knows the port and what all engines share, but no other engine.",
      severity: "error",
      from: { path: "^src/storage/(memory|sqlite|mongodb)/" },
      to: { path: "^src/storage/(memory|sqlite|mongodb)/", pathNot: "^src/storage/$1/" },
    },
    {
      name: "tables-apart",
      comment: "The operations know the port of statements, and no engine that implements it.",
      severity: "error",
      from: { path: "^src/storage/tables/" },
      to: { path: "^src/storage/(memory|sqlite|mongodb)/" },
    },
    {
      name: "conformance-apart",
      comment: "The suite knows the port, but no engine.",
      severity: "error",
      from: { path: "^src/conformance/" },
      to: { path: "^src/storage/(memory|sqlite|mongodb)/" },
    },
    layer("log", ["gen/", "src/domain/", "src/runtime/", port], "The port only, never an engine."),
    layer("stream", ["gen/", "src/domain/", "src/runtime/", "src/log/", port], "The port only, never an engine."),
    layer(
      "manager",
      ["gen/", "src/domain/", "src/runtime/", "src/agent/", "src/log/", "src/stream/", port],
      "Knows no transport and no engine.",
    ),
    layer(
      "transport",
      ["gen/", "src/domain/", "src/runtime/(logger|clock)\\.ts$", "src/agent/", "src/manager/"],
      "Translates; knows neither storage nor log.",
    ),
    layer("agent", ["gen/", "src/domain/", "src/runtime/clock\\.ts$"], "What an agent's author writes against."),
    {
      name: "testing-apart",
      comment: "The kit for tests of agents stands on everything else, and nothing stands on it.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/testing/" },
      to: { path: "^src/testing/" },
    },
    {
      name: "only-main-reads-process",
      comment: "Settings reach everything else as arguments. The lock of SQLite names its process by its id.",
      severity: "error",
      from: { path: "^src/", pathNot: "^src/(cli/main|storage/sqlite/thread/lock)\\.ts$" },
      to: { path: "^(node:)?process$" },
    },
  ],
  options: {
    doNotFollow: { path: "node_modules" },
    tsPreCompilationDeps: true,
    enhancedResolveOptions: { extensions: [".ts", ".js"] },
  },
};
