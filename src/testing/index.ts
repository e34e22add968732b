// `a2a-task-manager/testing`: runs the turns of an agent in its tests, on the real task manager over memory storage. It
// needs no server, no port and no test runner of its own.

export { ManualClock } from "./manual-clock.ts";
export { cancelAfter, crashAfter, runTurn, type Turn, type TurnOptions, timeoutAfter } from "./run-turn.ts";
