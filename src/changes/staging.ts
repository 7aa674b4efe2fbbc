import { HakoError } from "../base/errors";
import { O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn } from "../linux/call/syscall";
import { listNames } from "../linux/file/file";
import { openIfThere, openWithoutLinks } from "../linux/file/path";
import { fileStatusOf } from "../linux/file/stat";
import { effectiveUser } from "../linux/process/rootless";
import type { StagingDirectory } from "./record";

/**
 * Where what is new waits for its place: a directory of hako's own in each directory of the host that gets something. Who else may write in that one can
 * move this away, and something else to its name; but nobody else reaches what is in it, and another one than was made is not taken for it.
 */
export class StagingDirectories implements Disposable {
  readonly #prefix: string;
  readonly #made = new Map<string, Made>();
  #last: { key: string; fd: Fd } | undefined;

  constructor(prefix: string) {
    this.#prefix = prefix;
  }

  /** For the journal. */
  get noted(): StagingDirectory[] {
    return [...this.#made.values()].map(({ shown, inode }) => ({ path: shown, inode: String(inode) }));
  }

  /** Makes the one of a directory below a place, which is `path` on the host; once. */
  make(key: string, { place, above, path }: { place: Fd; above: string; path: string }): void {
    if (this.#made.has(key)) return;
    const name = `${this.#prefix}${this.#made.size}`;
    const shown = `${path === "/" ? "" : path}/${name}`;
    using parent = openWithoutLinks(place, above, O.PATH | O.DIRECTORY);
    syscallOn(shown, "mkdirat", parent.number, name, 0o700);
    using opened = openOwn(parent, name, shown);
    if (listNames(opened.path).length > 0) throw exchanged(shown);
    this.#made.set(key, { place, above, name, shown, inode: fileStatusOf(opened).inode });
  }

  /** Opens one, which is closed when another one is asked for. */
  open(key: string): Fd {
    if (this.#last?.key !== key) {
      const fd = this.#open(key);
      this[Symbol.dispose]();
      this.#last = { key, fd };
    }
    return this.#last.fd;
  }

  #open(key: string): Fd {
    const made = this.#made.get(key);
    if (made === undefined) throw new Error(`nothing waits for ${key}`);
    const { place, above, name, shown, inode } = made;
    using parent = openWithoutLinks(place, above, O.PATH | O.DIRECTORY);
    const fd = openOwn(parent, name, shown);
    if (fileStatusOf(fd).inode === inode) return fd;
    fd.close();
    throw exchanged(shown);
  }

  [Symbol.dispose](): void {
    this.#last?.fd.close();
    this.#last = undefined;
  }
}

interface Made {
  place: Fd;
  above: string;
  name: string;
  shown: string;
  inode: bigint;
}

/** Opens a directory in which nobody else may write. */
function openOwn(parent: Fd, name: string, shown: string): Fd {
  const fd = openIfThere(parent, name, O.PATH | O.DIRECTORY | O.NOFOLLOW);
  if (fd === undefined) throw exchanged(shown);
  const { uid, mode } = fileStatusOf(fd);
  if (uid === effectiveUser() && (mode & WRITABLE_FOR_OTHERS) === 0) return fd;
  fd.close();
  throw exchanged(shown);
}

const WRITABLE_FOR_OTHERS = 0o022;

function exchanged(path: string): HakoError {
  return new HakoError({
    code: "state",
    message: `${path}: it is not, or no longer, hako's own directory`,
    hint: "others who may write there have exchanged it, or the file system gives all files one owner or mode",
    path,
  });
}
