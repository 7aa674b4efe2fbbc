import { HakoError } from "../base/errors";
import { binarySize } from "../base/size";
import { roomOn } from "../linux/file/statfs";

/** What stays free, as a part of the file system; and the most of it. */
const KEPT_PART = 1 / 20;
const MOST_KEPT = 256 << 20;
/** How much is written between two looks. */
const LOOK = 16 << 20;

/** Stops an archive that unpacks to more than there is room for, before the file system is full. */
export class FreeSpace {
  readonly #path: string;
  #untilLook = 0;
  /** So many bytes were written. */
  taken = 0;

  constructor(path: string) {
    this.#path = path;
  }

  /** So many bytes are about to be written. */
  take(bytes: number): void {
    this.taken += bytes;
    this.#untilLook -= bytes;
    if (this.#untilLook > 0) return;
    const { available, total } = roomOn(this.#path);
    const room = available - Math.min(total * KEPT_PART, MOST_KEPT) - bytes;
    if (room < 0) {
      throw new HakoError({
        code: "system",
        message: `no space left for it: ${binarySize(available)} are free in ${this.#path}`,
        errno: "ENOSPC",
        hint: "an archive may unpack to a thousand times its size",
      });
    }
    this.#untilLook = Math.min(LOOK, room);
  }
}
