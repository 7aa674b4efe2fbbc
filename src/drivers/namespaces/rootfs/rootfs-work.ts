import type { CgroupMounts } from "../../../cgroup";
import type { Fd } from "../../../linux/call/fd";
import type { Config } from "../../../oci/config";
import type { Weaker } from "../../../state/record";
import type { HeldPlace, Leniency } from "../../interface/driver";

/** What a root file system is built from. */
export interface RootfsContext {
  config: Config;
  /** Absolute. */
  rootfs: string;
  /** Its root, where it is a private mount already. */
  mounted?: Fd | undefined;
  /** What relative sources of bind mounts are relative to; the working directory if not given. */
  bundle?: string | undefined;
  cgroup: CgroupMounts | undefined;
  /** The pid namespace that it will be in, where who builds the root file system is in another. */
  pidNamespace?: Fd | undefined;
  /** procfs that were begun in that namespace, by their mounts' places; used up by mounting. */
  begunProcfs: ReadonlyMap<number, Fd>;
  /** It will be in a cgroup namespace of its own. */
  newCgroupNamespace: boolean;
  userNamespace: boolean;
  /** Who builds it is a process of one thread, which makes no devices, and sees the host's /dev as hako does. */
  sharesDevices?: boolean | undefined;
  /** It has a mount namespace, its own or another's; else its mounts are the host's, on its rootfs. */
  mountNamespace: boolean;
  /** Sources that were opened and mapped outside, by their mounts' places; used up by mounting. */
  mappedMounts: ReadonlyMap<number, Fd>;
  /** Sources that were opened outside, by their mounts' places; used up by mounting. */
  bindSources: ReadonlyMap<number, Fd>;
  /** Devices that were made outside, by their places in /linux/devices; used up by mounting. */
  madeDevices: ReadonlyMap<number, Fd>;
  held?: readonly HeldPlace[] | undefined;
  lenient?: Leniency | undefined;
  /** Told what it gets in place of what `lenient` allows it to go without. */
  weakened?: ((what: Weaker) => void) | undefined;
}

/** What the concerns of the root file system share while it is built. */
export interface RootfsWork {
  readonly context: RootfsContext;
  /** The container's root directory; a mount on "/" replaces it. */
  root: Fd;
  /** Mounts that become read-only when everything in them is made. */
  readonly readonlyLater: Fd[];
}
