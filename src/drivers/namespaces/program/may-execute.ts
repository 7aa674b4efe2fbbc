import type { FileStatus } from "../../../linux/file/stat";
import { mappedId } from "../../../linux/process/id-map";
import type { Config, Process } from "../../../oci/config";

const ANY_EXECUTE = 0o111;

/** Whether a container's user may execute a file, or search a directory, as far as modes say; `onHost` is what its ids are outside. */
export function mayExecute(
  { type, mode, uid, gid }: FileStatus,
  { user, capabilities }: Pick<Process, "user" | "capabilities">,
  keepsGroups: boolean,
  onHost: (kind: "uid" | "gid", id: number) => number,
): boolean {
  if (capabilities?.effective?.includes("CAP_DAC_OVERRIDE") === true) {
    return type === "directory" || (mode & ANY_EXECUTE) !== 0;
  }
  if (uid === onHost("uid", user.uid)) return (mode & 0o100) !== 0;
  const own = keepsGroups ? [] : (user.additionalGids ?? []);
  const groups = [user.gid, ...own].map((id) => onHost("gid", id));
  if (keepsGroups) groups.push(...(process.getgroups?.() ?? []));
  return (mode & (groups.includes(gid) ? 0o010 : 0o001)) !== 0;
}

/** What the host calls ids of a container's user namespace, by its maps; an id that it has no name for stays. */
export function idsOnHost({ linux }: Config): (kind: "uid" | "gid", id: number) => number {
  const maps = { uid: linux?.uidMappings ?? [], gid: linux?.gidMappings ?? [] };
  return (kind, id) => mappedId(maps[kind], id) ?? id;
}
