import { during } from "../../../base/errors";
import type { Fd, FdList } from "../../../linux/call/fd";
import { resolve } from "../../../linux/file/path-text";
import { cloneTree, mapOwners } from "../../../linux/mount/mount-calls";
import { openNamespace } from "../../../linux/process/namespace";
import type { Config, Mount } from "../../../oci/config";
import { idMapsOfOption, type MountIdMaps } from "../../../oci/id-map-option";
import { planOf } from "../../../oci/mount-options";
import { joinedNamespace } from "../../../oci/namespaces";
import { userNamespaceWith } from "../birth/mapped-user-namespace";
import { writeIdMaps } from "../birth/namespaces";

/** Loaded on first use. */
const rare = {
  get explainMount() {
    return require("../../../explain/mount") as typeof import("../../../explain/mount");
  },
};

/**
 * The sources of mounts whose owners are mapped, by their place in /mounts: detached trees, made here since the container's
 * own user namespace has no right to map them.
 */
export function mappedMounts(config: Config, bundle: string, owner: FdList): Map<number, Fd> {
  const found = new Map<number, Fd>();
  const joined = joinedNamespace(config, "user");
  (config.mounts ?? []).forEach((mount, index) => {
    const plan = planOf(mount.options ?? []);
    const maps = ownMaps(config, mount);
    if (maps === undefined && plan.idMap === undefined) return;
    const tree = during(`config /mounts/${index}`, () => {
      using namespace =
        maps !== undefined || joined === undefined
          ? userNamespaceWith((pid) =>
              maps === undefined
                ? writeIdMaps(pid, "/linux", config.linux ?? {})
                : writeIdMaps(pid, `/mounts/${index}`, maps),
            )
          : openNamespace(joined, "user");
      const source = cloneTree(resolve(bundle, mount.source ?? ""), plan.bind === "rbind");
      owner.add(source);
      const at = resolve(bundle, mount.source ?? "");
      during(
        `map the owners of ${at}`,
        () => mapOwners(source, namespace, plan.idMap === "tree"),
        (cause) => {
          return { hint: rare.explainMount.idMapHint(at, cause) };
        },
      );
      return source;
    });
    found.set(index, tree);
  });
  return found;
}

/** Those of the mount itself, from its fields or its option; undefined for those of the container's user namespace. */
function ownMaps(config: Config, mount: Mount): Partial<MountIdMaps> | undefined {
  if ((mount.uidMappings ?? []).length > 0) return mount;
  const { idMaps } = planOf(mount.options ?? []);
  const found = idMaps === undefined ? undefined : idMapsOfOption(idMaps, config.linux ?? {});
  return typeof found === "string" ? undefined : found;
}
