import type { Scope } from "../../dbus/address";
import { effectiveUser, inUserNamespace } from "../../linux/process/rootless";
import { logDebug } from "../../output/log";
import { Manager } from "./manager";

/**
 * Which systemd makes hako's cgroups. For root it is the host's, with one exception: in a user namespace that an engine such as podman made
 * for a user, root is that user still. A container with its own systemd has a user namespace too, and there root is root. The place of the
 * session's systemd tells the two apart (sd_bus_creds_get_owner_uid(3); runc decides by it too).
 */
export function systemdScope(): Scope {
  if (effectiveUser() !== 0) return "user";
  if (!inUserNamespace()) return "system";
  try {
    using manager = Manager.connect("user");
    const owner = /\/user-(\d+)\.slice(?:\/|$)/.exec(manager.controlGroup())?.[1];
    return owner === undefined || owner === "0" ? "system" : "user";
  } catch (error) {
    logDebug(`no user's systemd: ${(error as Error).message}`);
    return "system";
  }
}
