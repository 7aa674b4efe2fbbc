import { asHakoError } from "../../base/errors";
import { usersMaps } from "../../drivers/namespaces/birth/users-maps";
import { ImageCache } from "../../image/cache";
import { parseReference } from "../../image/reference";
import { effectiveUser } from "../../linux/process/rootless";
import { logDebug } from "../../output/log";
import type { ScriptImage } from "./image-settings";

/**
 * The image that --rootfs names, unpacked. It stays in the cache until it is disposed of. An ordinary user's files have several owners if
 * that is wished for and the user has subordinate ids.
 */
export async function scriptImage(text: string, severalOwners: boolean): Promise<ScriptImage & Disposable> {
  const found = severalOwners && effectiveUser() !== 0 ? usersMaps() : undefined;
  const lacks = found !== undefined && "lacks" in found ? found.lacks : undefined;
  const maps = found === undefined || "lacks" in found ? undefined : found;
  if (lacks !== undefined) logDebug(`all files of the image belong to one user: ${lacks}`);
  try {
    const image = await new ImageCache(maps).image(parseReference(text));
    const { rootfs, record } = image;
    return { rootfs, config: record.config, maps, lacks, [Symbol.dispose]: () => image[Symbol.dispose]() };
  } catch (thrown) {
    const error = asHakoError(thrown);
    throw error.with({ message: `--rootfs ${text}: ${error.message}` });
  }
}
