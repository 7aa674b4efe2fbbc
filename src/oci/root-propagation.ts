import type { Propagation } from "../linux/mount/mount-calls";

/** The propagation of mount events between a container's mounts and the host's; `recursive`: for all mounts, not the root alone. */
export interface RootPropagation {
  propagation: Propagation;
  recursive: boolean;
}

const propagations = {
  // the default is rslave, as with runc
  "": { propagation: "slave", recursive: true },
  private: { propagation: "private", recursive: false },
  rprivate: { propagation: "private", recursive: true },
  slave: { propagation: "slave", recursive: false },
  rslave: { propagation: "slave", recursive: true },
  shared: { propagation: "shared", recursive: false },
  rshared: { propagation: "shared", recursive: true },
  unbindable: { propagation: "unbindable", recursive: false },
  runbindable: { propagation: "unbindable", recursive: true },
} as const;

/** The words of linux.rootfsPropagation (config-linux.md "Rootfs Mount Propagation"). */
export const ROOT_PROPAGATIONS: Readonly<Record<keyof typeof propagations, RootPropagation>> = propagations;
