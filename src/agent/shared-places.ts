import { OF_CONTAINER, SHARED_MEMORY } from "../drivers/vm/channel/agent-protocol";
import { exists, makeDirectories } from "../linux/file/file";
import { NAMESPACE_FILES } from "../linux/process/namespace";
import type { Config } from "../oci/config";
import { mountPlain, unmountPlace } from "./guest";

function sharedMemoryPlace(id: string): string {
  return `/run/hako/shm/${id}`;
}

/** Removes what `withContainers` has made for a container; who shares its memory keeps that. */
export function forgetSharedMemory(id: string): void {
  unmountPlace(sharedMemoryPlace(id));
}

/** A config whose namespaces and shared memory of other containers are those that these have here. */
export function withContainers(config: Config, pidOf: (container: string) => number): Config {
  const { linux, mounts } = config;
  return {
    ...config,
    mounts: mounts?.map((mount) => {
      if (mount.type !== SHARED_MEMORY) return mount;
      const place = sharedMemoryPlace(mount.source ?? "");
      if (!exists(place)) {
        makeDirectories(place, 0o711);
        mountPlain("tmpfs", place, "mode=1777");
      }
      return { ...mount, type: "none", source: place };
    }),
    linux: {
      ...linux,
      namespaces: linux?.namespaces?.map((namespace) => {
        const { type, path = "" } = namespace;
        if (!path.startsWith(OF_CONTAINER)) return namespace;
        const pid = pidOf(path.slice(OF_CONTAINER.length));
        return { ...namespace, path: `/proc/${pid}/ns/${NAMESPACE_FILES[type]}` };
      }),
    },
  };
}
