import { Binary } from "mongodb";
import { expiryOf, type MongoContext } from "../context.ts";
import { blobKey, bytesOf, nameOf } from "../keys.ts";
import { inlineBytesMax } from "../limits.ts";
import type { Inline } from "../records.ts";

/** Large bytes that a record names instead of holding them, so that rewriting the record doesn't rewrite them. */

/** The bytes as a record holds them, kept beside it if they are many. They are there before any record names them. */
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
  // Named by a record of a task that may run for long, so it stays as long as such a one.
  await context.collections.snapshots.insertOne({
    _id: blob,
    incarnation: parent.incarnation,
    d,
    ...expiryOf(context, { running: true }),
  });
  return { blob };
}

/** The bytes of several; undefined for those whose blob is gone, as what names it must be by now. */
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

/** Removes blobs that no record names any more, off the request path. */
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
