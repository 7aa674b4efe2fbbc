import { during } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd, FdList } from "../../../linux/call/fd";
import { hasErrno, makeDirectory } from "../../../linux/file/file";
import { makeNodeAt, openNode, setMode, setOwner } from "../../../linux/file/file-at";
import { openAt } from "../../../linux/file/path";
import { join } from "../../../linux/file/path-text";
import { ATTR, cloneTree, setMountAttributes } from "../../../linux/mount/mount-calls";
import { hostId } from "../../../linux/process/id-map";
import type { Config } from "../../../oci/config";
import { type Device, deviceOf, ownsDev } from "./devices";

/**
 * The devices of config.json by their places in /linux/devices, for a process in a user namespace, which may make none: they
 * are made here and handed over as mounts. The host's own need not be there, nor under this name, nor belong to anybody whom
 * the container knows. The nodes stay in `directory`, the container's, where nobody else looks: the kernel mounts none that
 * has lost its name. Where we may make none either the process binds the host's.
 */
export function madeDevices(pid: number, config: Config, directory: string, owner: FdList): Map<number, Fd> {
  const found = new Map<number, Fd>();
  // a named pipe can be made everywhere
  const devices = (config.linux?.devices ?? []).map(deviceOf).filter(({ type }) => type !== "fifo");
  if (devices.length === 0 || !ownsDev(config)) return found;
  const path = join(directory, "devices");
  makeDirectory(path, 0o700);
  using dir = openAt(undefined, path, O.PATH | O.DIRECTORY | O.CLOEXEC);
  for (const device of devices) {
    try {
      const tree = during(`${device.from}: make device ${device.path}`, () => madeDevice(dir, pid, device));
      owner.add(tree);
      found.set(device.index, tree);
    } catch (error) {
      if (!hasErrno(error, "EPERM")) throw error;
    }
  }
  return found;
}

function madeDevice(dir: Fd, pid: number, device: Device & { index: number }): Fd {
  const name = String(device.index);
  makeNodeAt(dir, name, device);
  using node = openNode(dir, name);
  setOwner(node, hostId(pid, "uid", device.uid), hostId(pid, "gid", device.gid));
  setMode(node, device.mode);
  const tree = cloneTree(node, false);
  // the state directory's file system lets no device be opened, as a rule
  setMountAttributes(tree, { clear: ATTR.NODEV | ATTR.RDONLY });
  return tree;
}
