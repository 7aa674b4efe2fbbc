import { isSystemdPath } from "../cgroup/paths";
import type { Config, Problem } from "./config";

/** Every field that asks for something that is not built yet: a container would be other than asked for. */
export function unbuiltFields({ linux }: Config): Problem[] {
  // "slice:prefix:name" is what callers of the systemd cgroup driver write
  if (!isSystemdPath(linux?.cgroupsPath ?? "")) return [];
  const hint = "a path for systemd: use the cgroupfs manager, for podman --cgroup-manager=cgroupfs";
  return [{ pointer: "/linux/cgroupsPath", message: `not built yet, so it is refused (${hint})` }];
}
