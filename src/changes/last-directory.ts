import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { openWithoutLinks } from "../linux/file/path";

/** The directory that was opened last: of changes, which are in the order of paths, most are in that of the one before. */
export class LastDirectory implements Disposable {
  #last: { root: Fd; path: string; fd: Fd } | undefined;

  open(root: Fd, path: string): Fd {
    if (this.#last?.root !== root || this.#last.path !== path) {
      const fd = openWithoutLinks(root, path, O.PATH | O.DIRECTORY);
      this[Symbol.dispose]();
      this.#last = { root, path, fd };
    }
    return this.#last.fd;
  }

  [Symbol.dispose](): void {
    this.#last?.fd.close();
    this.#last = undefined;
  }
}
