/** A call of the contract that was let in. */
export interface A2ACall {
  /** URIs of the extensions that are active, as the response's `A2A-Extensions` lists them. */
  readonly extensions: ReadonlySet<string>;
}
