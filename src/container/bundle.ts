import type { HeldPlace, Leniency, OverlayRoot } from "../drivers/interface/driver";
import { resolve } from "../linux/file/path-text";
import type { SeccompFilter } from "../linux/process/filter-steps";
import type { NetworkPlan } from "../network/network-plan";
import type { CgroupManager } from "../oci/cgroup-managers";
import type { Config } from "../oci/config";
import type { EnvironmentLine } from "../oci/environment";
import { checkedConfig } from "../oci/validate";
import type { MountPoint } from "../state/mount-points";

/** A bundle whose config.json was checked. */
export interface Bundle {
  /** Absolute. */
  path: string;
  /** The file in place of its config.json; absolute. */
  configFile?: string | undefined;
  rootfs: string;
  config: Config;
  /** The rootfs is only read: what is written goes to a tmpfs, or to the directory that keeps it. */
  overlay?: Pick<OverlayRoot, "writes" | "places" | "layers"> | undefined;
  /** The owners of the rootfs's files are mapped as its user namespace maps ids. */
  mapsOwners?: boolean | undefined;
  held?: readonly HeldPlace[] | undefined;
  lenient?: Leniency | undefined;
  landlocked?: boolean | undefined;
  /** What the rootfs lacks of its mounts' places; removed at the container's end. Of a bundle they stay, as with runc. */
  mountPoints?: readonly MountPoint[] | undefined;
  /** Files in the container's directory that are to be made for its mounts: their paths, and what is in them. */
  files?: ReadonlyMap<string, string> | undefined;
  /** What of its network is served while its program runs. */
  network?: NetworkPlan | undefined;
  /** Its profile's filter, where that was compiled before. */
  filter?: SeccompFilter | undefined;
}

/**
 * The bundle at `path`, with its config.json or with another file, checked; lines of the environment that the caller adds
 * come last, so they win.
 */
export function checkedBundle(
  path: string,
  environment: readonly EnvironmentLine[],
  manager: CgroupManager,
  file?: string,
): Bundle {
  const { config, bundle, rootfs } = checkedConfig(path, manager, file);
  const configFile = file === undefined ? undefined : resolve(file);
  if (environment.length > 0 && config.process !== undefined) {
    const process = { ...config.process, env: [...(config.process.env ?? []), ...environment] };
    return { path: bundle, configFile, rootfs, config: { ...config, process } };
  }
  return { path: bundle, configFile, rootfs, config };
}
