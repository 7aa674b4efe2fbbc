import type { Scope } from "../dbus/address";
import { readText } from "../linux/file";
import { effectiveUser, inUserNamespace } from "../linux/rootless";

/** The user whose session a process is in, by its cgroup, as sd_bus_creds_get_owner_uid(3) finds it. */
function ownerOf(cgroups: string): number | undefined {
  const match = /\/user-(\d+)\.slice(?:\/|$)/m.exec(cgroups);
  return match === null ? undefined : Number(match[1]);
}

/**
 * Whose systemd makes our cgroups. Root's is the host's; but root of a user namespace that a user's engine made, as podman does,
 * is that user still, while in a container with its own systemd it is root.
 */
export function systemdScope(): Scope {
  if (effectiveUser() !== 0) return "user";
  if (!inUserNamespace()) return "system";
  const owner = ownerOf(readText("/proc/self/cgroup"));
  return owner !== undefined && owner !== 0 ? "user" : "system";
}
