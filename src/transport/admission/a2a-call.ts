/** A call of the contract that is admitted. */
export interface A2ACall {
  /** URIs of the active extensions, as the response's `A2A-Extensions` lists them. */
  readonly extensions: ReadonlySet<string>;
}
