import { during } from "../../../base/errors";
import { O } from "../../../linux/call/constants";
import type { Fd, FdList } from "../../../linux/call/fd";
import { hasErrno } from "../../../linux/file/file";
import { setMode, setOwner } from "../../../linux/file/file-at";
import { mkdirAllInRoot, mkdirAt, openAt, openInRoot } from "../../../linux/file/path";
import { type FileStatus, fileStatusOf } from "../../../linux/file/stat";
import { newFilesystem } from "../../../linux/mount/filesystem";
import { ATTR, attachTree, cloneTree, mapOwners, setMountAttributes } from "../../../linux/mount/mount-calls";
import type { Config } from "../../../oci/config";
import { logDebug } from "../../../output/log";
import type { OverlayRoot } from "../../interface/driver";
import { userNamespaceWith } from "../birth/mapped-user-namespace";
import { writeIdMaps } from "../birth/namespaces";
import { KEPT_OPTIONS, shownMounts } from "./overlay-root";

/** Loaded on first use. */
const rare = {
  get explainMount() {
    return require("../../../explain/mount") as typeof import("../../../explain/mount");
  },
};

/** A mount of what is to be the root file system, with its place in there. */
export interface MappedTree {
  /** "" is the root itself. */
  place: string;
  /** What it is a copy of, on the host. */
  source: string;
  tree: Fd;
  /** A directory with `upper` and `work`, whose owners are mapped too: what is written is kept there, not in memory. */
  layer: Fd | undefined;
  /** Whose owners can't be mapped: nothing of it can be written where that would be kept. */
  readonly: boolean;
}

/**
 * Detached copies of a root file system's mounts, whose owners are mapped as the container's user namespace maps ids: made here, since that one
 * has no right to. What is mounted below the host's root directory and can't be mapped is shown all the same: its files are nobody's.
 */
export function mappedRoot(
  config: Config,
  rootfs: string,
  overlay: OverlayRoot | undefined,
  owner: FdList,
): MappedTree[] {
  using namespace = userNamespaceWith((pid) => writeIdMaps(pid, "/linux", config.linux ?? {}));
  const top = rootfs === "/" ? "" : rootfs;
  const kept = overlay?.layers;
  const clone = (source: string): Fd => {
    const tree = cloneTree(source, false);
    owner.add(tree);
    setMountAttributes(tree, { propagation: "private" });
    return tree;
  };
  const mappedClone = (source: string): Fd => {
    const tree = clone(source);
    during(
      `map the owners of ${source}`,
      () => mapOwners(tree, namespace, false),
      (cause) => ({ hint: rare.explainMount.idMapHint(source, cause) }),
    );
    return tree;
  };
  const placeOf = (source: string) => (source === rootfs ? "" : source.slice(top.length));
  const mapped = (source: string): MappedTree => {
    const tree = mappedClone(source);
    const directory = kept?.get(source);
    const layer = directory === undefined ? undefined : mappedClone(directory);
    // what is no directory has no layer
    return {
      place: placeOf(source),
      source,
      tree,
      layer,
      readonly: kept !== undefined && layer === undefined,
    };
  };
  const below = shownMounts(rootfs, overlay?.directory).flatMap((source) => {
    try {
      return mapped(source);
    } catch (error) {
      if (rootfs !== "/" || !hasErrno(error, ...UNMAPPABLE)) throw error;
      // unmounted since the list was read, or below another mount
      if (!hasErrno(error, "EINVAL", "EPERM")) return [];
      const unmapped = { tree: clone(source), layer: undefined, readonly: kept !== undefined };
      return { place: placeOf(source), source, ...unmapped };
    }
  });
  return [mapped(rootfs), ...below];
}

const UNMAPPABLE = ["EINVAL", "EPERM", "ENOENT", "EACCES", "ENOTDIR", "ESTALE"] as const;

/** A directory in a process's mount namespace, which its root may have no way to. */
export function placeInProcess(pid: number, directory: string, owner: FdList): Fd {
  using root = openAt(undefined, `/proc/${pid}/root`, O.PATH | O.DIRECTORY);
  const place = openInRoot(root, directory, O.PATH | O.DIRECTORY);
  owner.add(place);
  return place;
}

/** Mounts these trees on a place, which pivot_root leaves behind; the result is the root of all. */
export function mountMappedRoot(
  [first, ...below]: readonly MappedTree[],
  rootPlace: Fd,
  isOverlay: boolean,
): Fd {
  using on = rootPlace;
  if (first === undefined) throw new Error("a root file system of nothing");
  if (!isOverlay) {
    attachTree(first.tree, on);
    for (const { place, tree } of below) attachBelow(first.tree, place, tree);
    return first.tree;
  }
  using memory = newFilesystem({ type: "tmpfs", source: "tmpfs", options: ["mode=755"] });
  attachTree(memory, on);
  const root = during(
    `overlay over ${first.source}`,
    () => overlayOf(memory, first, 0),
    ({ errno }) => (errno === "EINVAL" ? { hint: "the kernel lays it over mapped owners since 5.19" } : {}),
  );
  using top = mkdirAt(memory, "root", 0o755);
  attachTree(root, top);
  below.forEach((each, index) => {
    const { place, tree, readonly } = each;
    try {
      if (!readonly) {
        attachBelow(root, place, overlayOf(memory, each, index + 1));
        tree.close();
        return;
      }
    } catch (error) {
      // unmounted and removed since the list was read
      if (hasErrno(error, "ENOENT")) {
        logDebug(`${each.source} is gone meanwhile: ${(error as Error).message}`);
        for (const fd of [tree, each.layer]) fd?.close();
        return;
      }
      if (!hasErrno(error, "EINVAL", "EPERM", "ELOOP", "ESTALE", "EOPNOTSUPP", "ENOTDIR")) throw error;
    }
    setMountAttributes(tree, { set: ATTR.RDONLY });
    attachBelow(root, place, tree);
  });
  return root;
}

function attachBelow(root: Fd, place: string, tree: Fd): void {
  using mounted = tree;
  using target = openInRoot(root, place, O.PATH);
  attachTree(mounted, target);
}

/** An overlay takes its layers from what is mounted somewhere. */
function overlayOf(memory: Fd, { source, tree, layer }: MappedTree, index: number): Fd {
  const lower = `lower${index}/${nameOf(source)}`;
  using place = mkdirAllInRoot(memory, lower);
  attachTree(tree, place);
  const written = `layer${index}`;
  using layers = mkdirAt(memory, written, 0o755);
  if (layer === undefined) makeLayer(layers, fileStatusOf(tree));
  else {
    attachTree(layer, layers);
    layer.close();
  }
  const options = [`upperdir=${memory.path}/${written}/upper`, `workdir=${memory.path}/${written}/work`];
  return newFilesystem({
    type: "overlay",
    source: "overlay",
    options: [
      `lowerdir=${memory.path}/${lower}`,
      ...options,
      "userxattr",
      ...(layer === undefined ? [] : KEPT_OPTIONS),
    ],
    attributes: ATTR.NOSUID | ATTR.NODEV,
  });
}

/** A layer in memory. */
function makeLayer(directory: Fd, { uid, gid, mode }: FileStatus): void {
  mkdirAt(directory, "work", 0o755).close();
  using upper = mkdirAt(directory, "upper", 0o755);
  setOwner(upper, uid, gid);
  setMode(upper, mode);
}

/** What mountinfo shows of a lower directory: of an image's, whose it is, so that it is known to be in use. */
function nameOf(source: string): string {
  const [name = ""] = /[\w.-]+\/rootfs$/.exec(source) ?? [];
  return name.length < 200 ? name : "";
}
