import { HakoError } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd, FdList } from "../../../linux/call/fd";
import { openAt, openInRoot } from "../../../linux/file/path";
import { resolve } from "../../../linux/file/path-text";
import type { Config } from "../../../oci/config";
import { isBind, planOf } from "../../../oci/mount-options";

/**
 * The sources of bind mounts by their places in /mounts, as they are in the mount namespace of a process that is in a user
 * namespace: opened with our rights, since its root may not search a directory that is the host's root's alone. What can't be
 * opened so (a link of procfs) is left to the process, which then says what is wrong.
 */
export function bindSources(
  pid: number,
  config: Config,
  bundle: string,
  mapped: ReadonlyMap<number, unknown>,
  owner: FdList,
): Map<number, Fd> {
  const found = new Map<number, Fd>();
  let root: Fd | undefined;
  (config.mounts ?? []).forEach((mount, index) => {
    const { source, options = [] } = mount;
    const plan = planOf(options);
    if (!isBind(mount) || plan.remount || mapped.has(index) || !source) return;
    try {
      if (root === undefined) {
        root = openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY | O.CLOEXEC);
        owner.add(root);
      }
      const follow = plan.nofollow.has("source") ? O.NOFOLLOW : 0;
      const fd = openInRoot(root, resolve(bundle, source), O.PATH | follow);
      owner.add(fd);
      found.set(index, fd);
    } catch (error) {
      if (!(error instanceof HakoError)) throw error;
    }
  });
  return found;
}
