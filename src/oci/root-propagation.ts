import type { Propagation } from "../linux/mount/mount";

/** How a container's mounts and the host's follow each other, of its root alone or of all below it too. */
export interface RootPropagation {
  propagation: Propagation;
  recursive: boolean;
}

const propagations = {
  // what is not said: rslave, as with runc
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
