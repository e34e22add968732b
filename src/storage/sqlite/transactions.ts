import type { Retention } from "../storage.ts";
import type { ArgsOf, ReadOperations, ResultOf, WriteOperations } from "../tables/operations/operations.ts";
import type { Transactions } from "../tables/transactions.ts";
import type { CallOptions } from "./thread/channel.ts";
import type { SqliteChannels } from "./thread/open.ts";
import { ownBytes, transferable } from "./thread/transfer.ts";

/** Transactions in the two threads. Those of the writer are carried out in groups, with one COMMIT a group. */
export class SqliteTransactions implements Transactions {
  readonly #channels: SqliteChannels;

  constructor(channels: SqliteChannels) {
    this.#channels = channels;
  }

  async setRetention(retention: Retention): Promise<void> {
    const { writer, reader } = this.#channels;
    await Promise.all([writer.call("setRetention", { retention }), reader.call("setRetention", { retention })]);
  }

  write<Name extends keyof WriteOperations>(
    name: Name,
    args: ArgsOf<WriteOperations[Name]>,
  ): Promise<ResultOf<WriteOperations[Name]>> {
    const prepare = prepared[name];
    if (prepare === undefined) {
      return this.#channels.writer.call(name, args);
    }
    const { args: owned, options } = prepare(args);
    return this.#channels.writer.call(name, owned, options);
  }

  read<Name extends keyof ReadOperations>(
    name: Name,
    args: ArgsOf<ReadOperations[Name]>,
  ): Promise<ResultOf<ReadOperations[Name]>> {
    return this.#channels.reader.call(name, args);
  }

  async close(): Promise<void> {
    // The writer last: the last connection to close copies the write-ahead log into the database and removes it.
    await this.#channels.reader.close();
    await this.#channels.writer.close();
  }
}

type Prepared<Name extends keyof WriteOperations> = {
  readonly args: ArgsOf<WriteOperations[Name]>;
  readonly options: CallOptions;
};

/** Operations whose arguments hold bytes: their sizes count in the queue, and buffers of the engine are transferred. */
const prepared: {
  readonly [Name in keyof WriteOperations]?: (args: ArgsOf<WriteOperations[Name]>) => Prepared<Name>;
} = {
  appendTask({ key, append }) {
    const { batch, header } = append;
    const { summary } = header;
    const owned = summary === undefined ? append : { ...append, header: { ...header, summary: ownBytes(summary) } };
    const bytes = batch.bytes.byteLength + (summary?.byteLength ?? 0);
    return { args: { key, append: owned }, options: { bytes, transfer: transferables([batch.bytes]) } };
  },
  sendCommand({ key, command: { id, bytes } }) {
    return { args: { key, command: { id, bytes: ownBytes(bytes) } }, options: { bytes: bytes.byteLength } };
  },
  storeMessages(args) {
    return { args, options: { bytes: sizeOf(args.messages.map((message) => message.bytes)) } };
  },
  storePushNotification(args) {
    return { args, options: { bytes: args.bytes.byteLength } };
  },
  storeSnapshot(args) {
    return { args, options: { bytes: sizeOf(args.pieces), transfer: transferables(args.pieces) } };
  },
};

function sizeOf(arrays: readonly Uint8Array[]): number {
  return arrays.reduce((sum, { byteLength }) => sum + byteLength, 0);
}

function transferables(arrays: readonly Uint8Array[]): readonly ArrayBuffer[] {
  return arrays.map(transferable).filter((buffer) => buffer !== undefined);
}
