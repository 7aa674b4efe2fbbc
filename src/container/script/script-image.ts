import { asHakoError } from "../../base/errors";
import { ImageCache } from "../../image/cache";
import { parseReference } from "../../image/reference";
import type { IdMaps } from "../../linux/process/subordinate-ids";
import type { ScriptImage } from "./image-settings";

/** The image that --rootfs names, unpacked. It stays in the cache until it is disposed of. With an ordinary user's maps its files have several owners. */
export async function scriptImage(text: string, maps: IdMaps | undefined): Promise<ScriptImage & Disposable> {
  try {
    const image = await new ImageCache(maps).image(parseReference(text));
    const { rootfs, record } = image;
    return { text, rootfs, config: record.config, [Symbol.dispose]: () => image[Symbol.dispose]() };
  } catch (thrown) {
    const error = asHakoError(thrown);
    throw error.with({ message: `--rootfs ${text}: ${error.message}` });
  }
}
