import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { hasErrno } from "../../linux/file/file";
import { openNode } from "../../linux/file/file-at";
import { openAt, openToLook, readLink } from "../../linux/file/path";
import { components, resolve } from "../../linux/file/path-text";
import { fileStatusOf } from "../../linux/file/stat";
import type { Config, Mount } from "../../oci/config";
import { isBind, planOf } from "../../oci/mount-options";

/** As the kernel's MAXSYMLINKS. */
const MAX_SYMLINKS = 40;

/** What is at a path: a descriptor to look at it, nothing, or something that can't be known before the container is made. */
export type Seen = Fd | "missing" | "unknown";

interface Mounted {
  /** The path in the container, with links followed. */
  at: string;
  /** The source of a bind mount. */
  source: string | undefined;
}

/**
 * The files that a container will find, while nothing is mounted yet: the rootfs, and on it the sources of bind mounts. Each name of a path is
 * opened below the directory before it, so that no link of an image leads out.
 */
export class RootfsView {
  readonly #rootfs: string;
  readonly #mounted: Mounted[] = [];

  /** `mounts` are those that are mounted before what is looked at. Relative sources are in the bundle. */
  constructor({ rootfs, bundle, mounts }: { rootfs: string; bundle: string; mounts: Config["mounts"] }) {
    this.#rootfs = rootfs;
    for (const mount of mounts ?? []) {
      const { remount } = planOf(mount.options ?? []);
      if (!remount) this.#mounted.push({ at: this.#placeOf(mount), source: sourceOf(mount, bundle) });
    }
  }

  /** What the container will find at an absolute path. */
  look(path: string): Seen {
    return this.#walk(path).seen;
  }

  #placeOf({ destination }: Mount): string {
    const { seen, at } = this.#walk(destination);
    if (typeof seen !== "string") seen.close();
    return at;
  }

  /** Finds a path and resolves its links. Below a missing directory the rest is taken as it is: create makes these directories. */
  #walk(path: string): { seen: Seen; at: string } {
    const way: { name: string; seen: Seen }[] = [{ name: "", seen: this.#at("/") ?? open(this.#rootfs) }];
    const rest = components(path).reverse();
    let links = 0;
    const pathOf = () => way.map(({ name }) => name).join("/") || "/";
    try {
      for (let name = rest.pop(); name !== undefined; name = rest.pop()) {
        if (name === "..") {
          if (way.length > 1) close(way.pop()?.seen);
          continue;
        }
        const above = way.at(-1)?.seen ?? "missing";
        const here = `${pathOf() === "/" ? "" : pathOf()}/${name}`;
        const mounted = this.#at(here);
        const seen = mounted ?? below(above, name);
        if (mounted !== undefined || typeof seen === "string" || fileStatusOf(seen).type !== "symlink") {
          way.push({ name, seen });
          continue;
        }
        using link = seen;
        if (++links > MAX_SYMLINKS) return { seen: "missing", at: here };
        const target = readLink(link);
        if (target.startsWith("/")) for (const { seen: left } of way.splice(1)) close(left);
        rest.push(...components(target).reverse());
      }
      const seen = way.at(-1)?.seen ?? "missing";
      // it stays open for the caller
      return { seen: typeof seen === "string" ? seen : openAt(undefined, seen.path, O.PATH), at: pathOf() };
    } finally {
      for (const { seen } of way) close(seen);
    }
  }

  /** The last mount at a path; undefined if nothing is mounted there. */
  #at(path: string): Seen | undefined {
    const mounted = this.#mounted.findLast(({ at }) => at === path);
    if (mounted === undefined) return undefined;
    return mounted.source === undefined ? "unknown" : (openToLook(mounted.source) ?? "unknown");
  }
}

function sourceOf(mount: Mount, bundle: string): string | undefined {
  return isBind(mount) && mount.source ? resolve(bundle, mount.source) : undefined;
}

function open(path: string): Seen {
  return openToLook(path) ?? "unknown";
}

function close(seen: Seen | undefined): void {
  if (seen !== undefined && typeof seen !== "string") seen.close();
}

function below(above: Seen, name: string): Seen {
  if (typeof above === "string") return above;
  try {
    return openNode(above, name);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return "missing";
    return "unknown"; // this user may not look
  }
}
