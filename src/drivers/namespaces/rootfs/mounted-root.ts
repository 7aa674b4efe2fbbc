import { during } from "../../../base/errors";
import type { Fd } from "../../../linux/call/fd";
import type { OverlayRoot } from "../../interface/driver";
import type { MappedTree } from "./mapped-root";

/** Loaded on first use. */
const rare = {
  get hostTree() {
    return require("./host-tree") as typeof import("./host-tree");
  },
  /** For a user namespace of root's that has the host's files. */
  get mappedRoot() {
    return require("./mapped-root") as typeof import("./mapped-root");
  },
  get overlayRoot() {
    return require("./overlay-root") as typeof import("./overlay-root");
  },
};

/** Mounts what is in place of the rootfs; undefined for a root that is still to be bound. `place` is where its mapped trees go. */
export function mountedRoot(
  rootfs: string,
  overlay: OverlayRoot | undefined,
  mapped: readonly MappedTree[] | undefined,
  place: Fd | undefined,
): Fd | undefined {
  if (mapped !== undefined && place !== undefined)
    return during(`root file system ${rootfs} with mapped owners`, () =>
      rare.mappedRoot.mountMappedRoot(mapped, place, overlay !== undefined),
    );
  return overlay && during(underOverlay(overlay), () => mountOverlay(overlay));
}

/** The root that is mounted by itself; undefined for one that is still to be bound. */
function mountOverlay(overlay: OverlayRoot): Fd | undefined {
  const { directory, places, layers } = overlay;
  if (places !== undefined) return rare.hostTree.mountHostTree(directory, places, layers);
  rare.overlayRoot.mountOverlayRoot(overlay);
  return undefined;
}

function underOverlay({ lower, writes, places, layers }: OverlayRoot): string {
  if (places !== undefined) return "the host's files, read-only";
  if (layers !== undefined) return `${lower} under what --changes keeps`;
  if (lower === "/") return "the host's files under a tmpfs";
  return `${lower} under ${writes === undefined ? "a tmpfs" : `${writes}/upper`}`;
}
