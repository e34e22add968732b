/** Bounds of what a task may hold, with the reason for each. Sizes in bytes of the binary encoding. */

/**
 * Ids from clients, in bytes of UTF-8: long enough for a URN or a hash with a prefix, short enough for the indexes of
 * every storage.
 */
export const idBytesMax = 256;
/** One entry of a log. The hard limit of every storage: a MongoDB document has 16 MiB, and other fields beside it. */
export const entryBytesMax = 12 * 1024 * 1024;
/** A message or event by default: what gRPC clients take in one frame (4 MiB), less room for ids and framing. */
export const eventBytesMaxDefault = 4 * 1024 * 1024 - 64 * 1024;
/** All entries of a task together, by default: a task must fit in memory several times over. */
export const taskBytesMaxDefault = 64 * 1024 * 1024;
/** Entries in one append: enough that a fast agent waits for the storage seldom, few enough for one transaction. */
export const batchEntriesMax = 256;
/** Bytes in one append, unless a single entry is larger: small enough for every storage to write at once. */
export const batchBytesMax = 4 * 1024 * 1024;
/** Messages that may wait for a turn of a running task: more is a client that does not wait for answers. */
export const waitingMessagesMax = 16;
/** The nesting of a message's JSON values. Most protobuf parsers have this limit. */
export const nestingMax = 100;
/**
 * The most characters of a text chunk that `artifactFrom` joins. A chunk up to this length is encoded in a buffer that
 * is kept, so the limit keeps that buffer small. Longer chunks are rare.
 */
export const textChunkLengthMax = 16 * 1024;
