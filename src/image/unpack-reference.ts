import { Progress } from "./progress";
import type { ImageReference } from "./reference";
import { sourceKey } from "./source";
import { DirectoryStore } from "./store";
import { imageOfLayout, type Unpacked, unpackArchive, unpackLayout } from "./unpack";

/** Unpacks an image into `directory`/rootfs, past the cache. Owners are as the archive has them, or all belongs to this user. */
export async function unpackReference(
  reference: ImageReference,
  directory: string,
  keepsOwners: boolean,
): Promise<Unpacked> {
  using progress = new Progress(reference.text);
  if (reference.kind === "archive") {
    // as for the cache: a file that is not there has its own error
    sourceKey(reference);
    return await unpackArchive(reference, directory, { progress, keepsOwners });
  }
  using store = new DirectoryStore(reference.path);
  return await unpackLayout(imageOfLayout(store, reference), directory, { progress, keepsOwners });
}
