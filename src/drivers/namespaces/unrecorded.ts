import { asHakoError } from "../../base/errors";
import { cgroupOfConfig } from "../../cgroup/group/of-config";
import { directoryOf } from "../../cgroup/hierarchy/node";
import { exists } from "../../linux/file/file";
import type { ContainerId } from "../../oci/id";
import { logWarning } from "../../output/log";
import { readStoredConfig } from "../../state/record";

/**
 * Ends the processes of a container whose record is broken and removes its cgroups, as far as its config.json tells which these
 * are: a path from the top of the hierarchies. One that was relative to the cgroup of who made it, and systemd's scopes, are
 * known from the record alone; without a path they are beside this command's, if the container was made from the same place.
 */
export function removeUnrecorded(root: string, id: ContainerId): void {
  try {
    const config = readStoredConfig(root, id);
    const path = config.linux?.cgroupsPath ?? "";
    if (path !== "" && !path.startsWith("/")) {
      logWarning(
        `container "${id}": nobody knows its processes and cgroups any more: see linux.cgroupsPath ${path}`,
      );
      return;
    }
    const cgroup = cgroupOfConfig("cgroupfs", config, id);
    const there = cgroup.record.nodes.filter((node) => exists(directoryOf(node)));
    if (there.length === 0 && path === "") {
      logWarning(
        `container "${id}": its processes may be left: it was made from another cgroup than this command's`,
      );
      return;
    }
    cgroup.kill();
    for (const node of there) node.made.push(directoryOf(node));
    cgroup.destroy();
  } catch (thrown) {
    const error = asHakoError(thrown);
    // it was not made so far
    if (error.errno !== "ENOENT")
      logWarning(`container "${id}": its processes and cgroups may be left: ${error.oneLine}`);
  }
}
