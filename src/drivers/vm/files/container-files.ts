import { HakoError } from "../../../base/errors";
import { cleanPath } from "../../../linux/file/path-text";
import { CACHE_ANNOTATION, ROOTFS_ANNOTATION } from "../../../oci/annotations";
import type { Config, Mount } from "../../../oci/config";
import { isBind, isReadOnlyMount } from "../../../oci/mount-options";
import type { OverlayRoot } from "../../interface/driver";
import { CACHES, type Cache } from "./virtiofsd-arguments";

const ROOTFS = ["shared", "private"] as const;
/** Files and directories that engines bind for what they say to a container, and not for what it says: writes to them may end with it. */
const TOLD: ReadonlySet<string> = new Set([
  ...["/etc/hosts", "/etc/hostname", "/etc/resolv.conf", "/run/.containerenv", "/run/secrets"],
]);
const SHARED_MEMORY = "/dev/shm";

/** How a container in a machine has the host's files. */
export interface ContainerFiles {
  /**
   * "shared": what it writes to its rootfs is the host's. "private": the rootfs is only read, and what is written is in the guest's memory and ends
   * with it.
   */
  rootfs: (typeof ROOTFS)[number];
  /** Whether there is anything that the host is to have of its writes: the rootfs, or a volume. */
  written: boolean;
  cache: Cache;
}

/** What a container needs, by where its writes are to be. */
export function filesOf(config: Config, overlay: OverlayRoot | undefined): ContainerFiles {
  const { root, mounts = [], annotations = {} } = config;
  const told = wordOf(annotations, ROOTFS_ANNOTATION, ROOTFS);
  const ends = overlay === undefined ? told === "private" : overlay.writes === undefined;
  const rootfs = root?.readonly === true || ends ? "private" : "shared";
  return {
    rootfs,
    written: rootfs === "shared" || mounts.some(isWritten),
    cache: wordOf(annotations, CACHE_ANNOTATION, CACHES),
  };
}

/** An annotation that is one of several words; the first of them is the default. */
function wordOf<Word extends string>(
  annotations: Readonly<Record<string, string>>,
  name: string,
  words: readonly [Word, ...Word[]],
): Word {
  const { [name]: told = words[0] } = annotations;
  const word = words.find((each) => each === told);
  if (word !== undefined) return word;
  throw new HakoError({
    code: "config",
    message: `config /annotations/${name}: ${JSON.stringify(told)}: expected ${words.join(" or ")}`,
  });
}

/** What bundles of ordinary users have in place of a sysfs, which they can't mount on the host without a network namespace of their own. */
export function isBoundSysfs(mount: Mount): boolean {
  return isBind(mount) && mount.source === "/sys" && cleanPath(mount.destination) === "/sys";
}

/** Whether what is written to a mount is to be the host's. */
function isWritten(mount: Mount): boolean {
  const destination = cleanPath(mount.destination);
  return (
    isBind(mount) &&
    !isBoundSysfs(mount) &&
    !isReadOnlyMount(mount) &&
    destination !== SHARED_MEMORY &&
    !TOLD.has(destination)
  );
}
