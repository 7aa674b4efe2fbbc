import { errnoNumber } from "../base/errno";
import type { Fd } from "../linux/call/fd";
import { linkText, listNames, readText, tryReadText } from "../linux/file/file";
import { isAtOrBelow } from "../linux/file/path-text";
import { fileStatusOf, tryStatus } from "../linux/file/stat";
import { type MountEntry, parseMountinfo } from "../linux/mount/mountinfo";

/** Whether a process has this directory as its root directory. Those that this process may not look at are known by their mounts. */
export function isRootOfProcess(directory: Fd): boolean {
  const { inode, device } = fileStatusOf(directory);
  const own = readText("/proc/self/mountinfo");
  const isOthersRoot = (pid: string): boolean => {
    const mounts = tryReadText(`/proc/${pid}/mountinfo`);
    return mounts !== undefined && mounts !== own && hasRoot(mounts, own, linkText(directory.path));
  };
  return listNames("/proc").some((pid) => {
    if (!/^\d+$/.test(pid)) return false;
    const status = tryStatus(`/proc/${pid}/root`, true);
    if (typeof status === "number") return -status === errnoNumber("EACCES") && isOthersRoot(pid);
    return status.inode === inode && status.device === device;
  });
}

/** Whether the root of these mounts shows what `path` leads to among our own mounts. Exported for its test. */
export function hasRoot(mounts: string, own: string, path: string): boolean {
  const holding = parseMountinfo(own)
    .filter(({ mountpoint }) => isAtOrBelow(path, mountpoint))
    // of several at one place the last one is seen
    .reduce<MountEntry | undefined>(
      (best, each) => (best === undefined || each.mountpoint.length >= best.mountpoint.length ? each : best),
      undefined,
    );
  if (holding === undefined) return false;
  const below = holding.mountpoint === "/" ? path : path.slice(holding.mountpoint.length);
  const root = `${holding.root === "/" ? "" : holding.root}${below}`;
  return parseMountinfo(mounts).some(
    (mount) => mount.mountpoint === "/" && mount.device === holding.device && mount.root === root,
  );
}
