import { hostId, isMapped, mappedId } from "../../../linux/process/id-map";
import type { Config, IdMapping, User } from "../../../oci/config";
import { hasNamespace, joinedNamespace } from "../../../oci/namespaces";

/** Ids that a process has in its user namespace while it makes what the container needs. */
export interface NamespaceOwner {
  uid: number;
  gid: number;
}

/** A namespace by the process that it is looked up at. */
const OF_PROCESS = /^\/proc\/(\d+)\/ns\/user$/;

/**
 * Its root; where nobody is root there (a map of one id that isn't 0), the program's user, as with crun. Of a namespace that is
 * joined the maps are known if its path is a process's.
 */
export function ownerOf(config: Config): NamespaceOwner {
  const user = config.process?.user ?? ROOT;
  const joined = joinedNamespace(config, "user");
  if (joined === undefined) {
    const { uidMappings = [], gidMappings = [] } = config.linux ?? {};
    return { uid: hasRoot(uidMappings) ? 0 : user.uid, gid: hasRoot(gidMappings) ? 0 : user.gid };
  }
  const pid = OF_PROCESS.exec(joined)?.[1];
  return pid === undefined ? ROOT : ownerInNamespaceOf(Number(pid), user);
}

const ROOT: NamespaceOwner = { uid: 0, gid: 0 };

/** The owner of the user namespace that a process is in: its root, or where nobody is root there, the program's user. */
export function ownerInNamespaceOf(pid: number, { uid, gid }: Pick<User, "uid" | "gid">): NamespaceOwner {
  return { uid: isMapped(pid, "uid", 0) ? 0 : uid, gid: isMapped(pid, "gid", 0) ? 0 : gid };
}

/** The host's ids of that owner; undefined if the container has no user namespace, or one whose maps nobody here knows. */
export function hostOwnerOf(config: Config): NamespaceOwner | undefined {
  if (!hasNamespace(config, "user")) return undefined;
  const { uid, gid } = ownerOf(config);
  const joined = joinedNamespace(config, "user");
  if (joined !== undefined) {
    const pid = OF_PROCESS.exec(joined)?.[1];
    return pid === undefined
      ? undefined
      : { uid: hostId(Number(pid), "uid", uid), gid: hostId(Number(pid), "gid", gid) };
  }
  const { uidMappings = [], gidMappings = [] } = config.linux ?? {};
  return { uid: mappedId(uidMappings, uid) ?? uid, gid: mappedId(gidMappings, gid) ?? gid };
}

function hasRoot(mappings: readonly IdMapping[]): boolean {
  return mappings.some(({ containerID }) => containerID === 0);
}
