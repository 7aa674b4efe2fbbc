import { exists, realPath } from "../../linux/file/file";
import { dirname } from "../../linux/file/path-text";
import type { Mount } from "../../oci/config";
import { isBind, isReadOnlyMount } from "../../oci/mount-options";
import type { Bundle } from "../bundle";
import type { Guards } from "./guarded-places";
import { inOrder } from "./mount-order";
import type { ScriptRequest, ScriptValues } from "./script-values";

/** Loaded on first use. */
const rare = {
  get guardedPlaces() {
    return require("./guarded-places") as typeof import("./guarded-places");
  },
  /** For one that is shown a directory of the host's other than by the view of its root. */
  get stateDirectories() {
    return require("./state-directories") as typeof import("./state-directories");
  },
};

/** What the container shows: its root file system, what is in place of that, and the mounts that flags ask for. */
interface Shown {
  rootfs: string;
  overlay: Bundle["overlay"];
  given: readonly Mount[];
  /** Its network has rules, or ports that lead elsewhere. */
  hasNetwork: boolean;
}

/** What flags and a policy hide and protect, and what of hako's own is hidden; undefined where that is nothing. */
export function scriptGuards(
  values: Pick<ScriptValues, "hide" | "protect">,
  { policy, changes, directory = "" }: Pick<ScriptRequest, "policy" | "changes" | "directory">,
  { rootfs, overlay, given, hasNetwork }: Shown,
): Guards | undefined {
  const { hide, protect } = values;
  const ofPolicy = policy?.guards;
  const hideOnHost = [...(changes === undefined ? [] : [changes.path]), ...(ofPolicy?.hideOnHost ?? [])];
  const stateDirectories = hiddenState(directory, hasNetwork, rootfs, given);
  const hideElsewhere = ofPolicy?.hideElsewhere ?? [];
  const ofHost = [...hideOnHost, ...hideElsewhere, ...stateDirectories];
  const wishes = [hide, protect, ofPolicy?.hide, ofPolicy?.protect, ofHost];
  if (wishes.every((each = []) => each.length === 0)) return undefined;
  return rare.guardedPlaces.guardedPlaces({
    ...{ rootfs, hide, protect, given: inOrder(rootfs, [], given) },
    ...{ ofPolicy, hideOnHost, hideElsewhere, stateDirectories },
    keepsWrites: overlay === undefined || overlay.writes !== undefined,
    keepsChanges: changes !== undefined,
  });
}

/** hako's own directories that are to be hidden: in a network with rules its sockets always are. `directory` is the container's own. */
function hiddenState(
  directory: string,
  hasNetwork: boolean,
  rootfs: string,
  given: readonly Mount[],
): string[] {
  if (directory === "") return [];
  const root = dirname(directory);
  const binds = given.flatMap((mount) =>
    isBind(mount) && mount.source !== undefined && exists(mount.source)
      ? [{ path: realPath(mount.source), writable: !isReadOnlyMount(mount) }]
      : [],
  );
  const shown = [...binds, ...(rootfs === "/" ? [] : [{ path: rootfs, writable: true, isRoot: true }])];
  const own = hasNetwork ? [exists(root) ? realPath(root) : root] : [];
  if (shown.length === 0) return own;
  return [...new Set([...own, ...rare.stateDirectories.shownStateDirectories(root, shown)])];
}
