import { Binary } from "mongodb";
import { expiryOf, type MongoContext } from "../context.ts";
import { blobKey, bytesOf, nameOf } from "../keys.ts";
import { inlineBytesMax } from "../limits.ts";
import type { Inline } from "../records.ts";

/** Large bytes in a record of their own, so that an update of the task's record doesn't rewrite them. */

/**
 * Returns the bytes for use in a record, or stores large ones in a blob and returns a reference. The blob is stored
 * before any record refers to it.
 */
export async function putInline(
  context: MongoContext,
  parent: { readonly log: Binary; readonly incarnation: Binary },
  bytes: Uint8Array,
): Promise<Inline> {
  const d = new Binary(bytes);
  if (bytes.byteLength <= inlineBytesMax) {
    return d;
  }
  const blob = blobKey(parent.log);
  // The task may run for a long time, so the blob has the expiry of a running task.
  await context.collections.snapshots.insertOne({
    _id: blob,
    incarnation: parent.incarnation,
    d,
    ...expiryOf(context, { running: true }),
  });
  return { blob };
}

/** The bytes of several values. Undefined for a blob that is gone; the record that referred to it has changed since. */
export async function readInline(
  context: MongoContext,
  inlines: readonly Inline[],
): Promise<readonly (Uint8Array | undefined)[]> {
  const blobs = inlines.flatMap((inline) => (isBlob(inline) ? [inline.blob] : []));
  const found = new Map<string, Binary>();
  if (blobs.length > 0) {
    for await (const { _id, d } of context.collections.snapshots.find({ _id: { $in: blobs } })) {
      found.set(nameOf(_id), d);
    }
  }
  return inlines.map((inline) => {
    const binary = isBlob(inline) ? found.get(nameOf(inline.blob)) : inline;
    return binary === undefined ? undefined : bytesOf(binary);
  });
}

/** Removes blobs that no record refers to any more, off the request path. */
export function removeBlobsLater(context: MongoContext, inlines: readonly Inline[]): void {
  const blobs = inlines.flatMap((inline) => (isBlob(inline) ? [inline.blob] : []));
  const [first] = blobs;
  if (first !== undefined) {
    context.jobs.run(`remove ${nameOf(first)}`, async () => {
      await context.collections.snapshots.deleteMany({ _id: { $in: blobs } });
    });
  }
}

export function isBlob(inline: Inline): inline is { readonly blob: Binary } {
  return "blob" in inline;
}
