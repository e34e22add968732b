/** Bounds of what a task may hold, with the reason for each. Sizes in bytes of the binary encoding. */

/**
 * Ids from clients: long enough for a URN or a hash with a prefix, short enough for every index (DESIGN 7). Bytes of
 * UTF-8.
 */
export const idBytesMax = 256;
/** One entry of a log, the hard limit of every storage: MongoDB's 16 MiB document less what surrounds it (DESIGN 3). */
export const entryBytesMax = 12 * 1024 * 1024;
/**
 * A message or event by default: just under what gRPC clients take in one frame, 4 MiB, with room for ids and framing.
 */
export const eventBytesMaxDefault = 4 * 1024 * 1024 - 64 * 1024;
/** All entries of a task together, by default: a task must fit in memory several times over. */
export const taskBytesMaxDefault = 64 * 1024 * 1024;
/** Entries in one append (DESIGN 3). */
export const batchEntriesMax = 256;
/** Bytes in one append, unless a single entry is larger (DESIGN 3). */
export const batchBytesMax = 4 * 1024 * 1024;
/** Messages that may wait for a turn of a running task (api.d.ts, `whileWorking`). */
export const waitingMessagesMax = 16;
/** Nesting of a message's JSON values, as protobuf parsers commonly bound it. */
export const nestingMax = 100;
/**
 * Characters of a text chunk: `artifactFrom` joins at most so many, and chunks up to this length are encoded in a buffer
 * that is kept. Larger ones are few, and the buffer stays small.
 */
export const textChunkLengthMax = 16 * 1024;
