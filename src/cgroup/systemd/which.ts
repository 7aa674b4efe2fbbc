import type { Scope } from "../../dbus/address";
import { effectiveUser, inUserNamespace } from "../../linux/process/rootless";
import { logDebug } from "../../output/log";
import { Manager } from "./manager";

/**
 * Whose systemd makes our cgroups. Root's is the host's; but root of a user namespace that a user's engine made, as podman does, is
 * that user still, while in a container with its own systemd it is root: the place of the session's systemd tells
 * (sd_bus_creds_get_owner_uid(3), by which runc decides too).
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
