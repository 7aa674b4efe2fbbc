import type { Resources } from "../../oci/config";
import { isLimit, isSet } from "./amount";
import type { Target } from "./target";

/**
 * pids.limit: negative is no limit; 0 leaves it as it is. (By runtime-spec 1.3 it is a limit, of 0 processes. By all before that it
 * isn't, and containerd, CRI-O and podman send it for "not said". Whoever means it has `unified`.)
 */
export function applyPids(target: Target, { pids }: Resources): void {
  const limit = pids?.limit;
  if (!isSet(limit)) return;
  if (!isLimit(limit) && target.find("pids") === undefined) return;
  const node = target.need("pids", "/pids/limit");
  target.write(node, "pids.max", isLimit(limit) ? limit : "max", "/pids/limit");
}
