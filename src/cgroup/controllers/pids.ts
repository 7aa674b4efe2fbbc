import type { Resources } from "../../oci/config";
import { isLimit, isSet } from "./amount";
import type { Target } from "./target";

/**
 * Writes linux.resources.pids. A negative limit is no limit. 0 leaves the limit as it is: in runtime-spec 1.3 it is a limit of 0
 * processes, but in all versions before it is none, and containerd, CRI-O and podman send it when nothing was said. `unified` can set
 * a limit of 0.
 */
export function applyPids(target: Target, { pids }: Resources): void {
  const limit = pids?.limit;
  if (!isSet(limit)) return;
  if (!isLimit(limit) && target.find("pids") === undefined) return;
  const node = target.need("pids", "/pids/limit");
  target.write(node, "pids.max", isLimit(limit) ? limit : "max", "/pids/limit");
}
