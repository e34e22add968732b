import { Code, ConnectError } from "@connectrpc/connect";
import { type AnswerBudget, ExchangeRoom } from "../../../src/transport/load/answer-budget.ts";
import { ByteBudget } from "../../../src/transport/load/byte-budget.ts";

/** The room of an exchange whose end is the end of its waits too, as a client that hangs up ends them. */
export class TestRoom extends ExchangeRoom {
  readonly #controller: AbortController;

  constructor(budget: AnswerBudget, connection = new ByteBudget(Number.MAX_SAFE_INTEGER)) {
    const controller = new AbortController();
    super(budget, connection, controller.signal);
    this.#controller = controller;
  }

  override close(): void {
    super.close();
    this.#controller.abort(new ConnectError("The client has hung up", Code.Canceled));
  }
}
