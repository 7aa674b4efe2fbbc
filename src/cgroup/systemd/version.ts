import { Manager } from "./manager";
import { systemdScope } from "./which";

/** The version of the systemd that --systemd-cgroup would ask, and whose it is; an error if it can't be reached. */
export function systemdVersion(): string {
  const scope = systemdScope();
  using manager = Manager.connect(scope);
  return `${manager.versionText()} (${scope})`;
}
