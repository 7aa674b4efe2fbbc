import { asHakoError } from "../../base/errors";
import { ImageCache } from "../../image/cache";
import { parseReference } from "../../image/reference";
import { isRootless } from "../../linux/process/rootless";
import { logDebug } from "../../output/log";
import type { ScriptImage } from "./image-settings";

/** The image that --rootfs names, unpacked. It stays in the cache until it is disposed of. */
export async function scriptImage(text: string): Promise<ScriptImage & Disposable> {
  try {
    const image = await new ImageCache().image(parseReference(text));
    if (isRootless()) logDebug("all files of the image belong to one user");
    const { rootfs, record } = image;
    return { rootfs, config: record.config, [Symbol.dispose]: () => image[Symbol.dispose]() };
  } catch (thrown) {
    const error = asHakoError(thrown);
    throw error.with({ message: `--rootfs ${text}: ${error.message}` });
  }
}
