import { errnoHint } from "../../base/errno-hints";
import { asHakoError, HakoError } from "../../base/errors";
import { ACCESS } from "../../linux/call/constants";
import { checkAccess, exists, makeNewDirectory, removeDirectory } from "../../linux/file/file";
import { dirname } from "../../linux/file/path-text";
import { DELEGATION, moveBelow, threadedAbove } from "./delegation";
import { errnoOf, tryReadValue, tryWriteValue, upwards, writeValue } from "./files";
import type { CgroupNode } from "./record";
import { removeBelow } from "./tree";

const TOLERATED = new Set(["EACCES", "EPERM", "EROFS"]);
/** How often making a directory is tried: another container's end may remove the parent directory in between. */
const MAKE_ATTEMPTS = 5;
const BUSY_WAIT_MS = 1000;

export function directoryOf(node: CgroupNode): string {
  return node.path === "/" ? node.mountpoint : node.mountpoint + node.path;
}

/** The directories from below the mount point to the node, outermost first. */
function steps(node: CgroupNode): string[] {
  const names = node.path.split("/").filter((name) => name !== "");
  return names.map((_, index) => `${node.mountpoint}/${names.slice(0, index + 1).join("/")}`);
}

/** The node as `makeNode` will leave it, for a record that is written before: it names all directories that may have to be removed. */
export function plannedNode(node: CgroupNode): CgroupNode {
  const all = steps(node);
  // below a missing one all are missing
  const missing = all.findIndex((dir) => !exists(dir));
  return { ...node, made: missing < 0 ? [] : all.slice(missing) };
}

/**
 * Makes the node's directory and its parents. The node then says which of them it made, or why this hierarchy is skipped. Returns
 * whether the directory is new: then nobody is in it, nothing is below it, and its files are ours.
 */
export function makeNode(node: CgroupNode, enableControllers: boolean): boolean {
  for (let attempt = 1; ; attempt++) {
    try {
      let isNew = false;
      for (const dir of steps(node)) {
        if (enableControllers) enableAll(dirname(dir));
        isNew = makeNodeDirectory(node, dir);
      }
      if (!isNew) checkAccess(`${directoryOf(node)}/cgroup.procs`, ACCESS.W_OK);
      if (node.unified) checkType(node);
      return isNew;
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === "ENOENT" && attempt < MAKE_ATTEMPTS) continue;
      removeNode(node);
      const error = asHakoError(thrown);
      if (errno !== undefined && TOLERATED.has(errno)) node.skipped = error.message;
      else
        throw new HakoError({
          code: "system",
          errno,
          message: `make cgroup ${directoryOf(node)}`,
          hint: makeHint(node, errno),
          cause: error,
        });
      return false;
    }
  }
}

/** A v2 cgroup below a threaded one can be made, but takes no process (cgroup-v2.rst, "Threads"). */
function checkType(node: CgroupNode): void {
  const dir = directoryOf(node);
  const type = tryReadValue(`${dir}/cgroup.type`);
  if (type !== "domain invalid") return;
  const above = threadedAbove(upwards(dirname(dir), node.mountpoint));
  throw new HakoError({
    code: "unsupported",
    message: `it takes no processes: it is of type "${type}", below ${above ?? "a threaded one"} of type "${tryReadValue(`${above}/cgroup.type`)}"`,
    hint: "choose another linux.cgroupsPath",
  });
}

/** The hint for a cgroup that could not be made: what of those above is in the way. */
function makeHint(node: CgroupNode, errno: string | undefined): string | undefined {
  const existing = steps(node).filter(exists).at(-1) ?? node.mountpoint;
  return errnoHint("make a cgroup", errno, {
    existing,
    limit: () => tryReadValue(`${existing}/${node.unified ? "memory.max" : "memory.limit_in_bytes"}`),
    type: () => tryReadValue(`${existing}/cgroup.type`),
  });
}

/** Makes one directory; whether it is new. */
function makeNodeDirectory(node: CgroupNode, dir: string): boolean {
  const isNew = makeNewDirectory(dir, 0o755);
  if (isNew && !node.made.includes(dir)) node.made.push(dir);
  if (node.controllers.includes("cpuset")) inheritCpuset(dir, isNew);
  return isNew;
}

/**
 * Gives a cpuset of v1 the processors and memory nodes of its parent: a new one has none, and takes no processes. (With
 * cgroup.clone_children it has them, and gets them again.)
 */
function inheritCpuset(dir: string, isNew: boolean): void {
  for (const file of ["cpuset.cpus", "cpuset.mems"]) {
    if (!isNew && tryReadValue(`${dir}/${file}`) !== "") continue;
    const inherited = tryReadValue(`${dirname(dir)}/${file}`) ?? "";
    if (inherited !== "") writeValue(`${dir}/${file}`, inherited);
  }
}

function words(file: string): string[] {
  return (tryReadValue(file) ?? "").split(/\s+/).filter((word) => word !== "");
}

/** The controllers that a v2 cgroup has for itself. */
export function controllersIn(dir: string): string[] {
  return words(`${dir}/cgroup.controllers`);
}

/**
 * Whether a v2 cgroup other than the root holds processes itself. It can't give its children controllers that count whole processes;
 * others would make it a threaded domain, whose children take no processes before they are threaded too (cgroup-v2.rst, "Threads").
 */
function holdsProcesses(dir: string): boolean {
  return tryReadValue(`${dir}/cgroup.type`) !== undefined && words(`${dir}/cgroup.threads`).length > 0;
}

/** Gives a v2 cgroup's children every controller that it has. One that can't be given is an error later, if a limit needs it. */
function enableAll(dir: string): void {
  if (holdsProcesses(dir)) return;
  const enabled = new Set(words(`${dir}/cgroup.subtree_control`));
  const missing = controllersIn(dir).filter((controller) => !enabled.has(controller));
  if (missing.length === 0) return;
  const file = `${dir}/cgroup.subtree_control`;
  if (tryWriteValue(file, missing.map((controller) => `+${controller}`).join(" ")) === undefined) return;
  for (const controller of missing) tryWriteValue(file, `+${controller}`);
}

/** Enables one controller in all cgroups from the root down to a v2 node; the error explains what is in the way. */
export function enableController(node: CgroupNode, controller: string): void {
  for (const dir of steps(node)) {
    if (controllersIn(dir).includes(controller)) continue;
    const parent = dirname(dir);
    const file = `${parent}/cgroup.subtree_control`;
    const failed = holdsProcesses(parent) ? undefined : tryWriteValue(file, `+${controller}`);
    if (failed === undefined && controllersIn(dir).includes(controller)) continue;
    throw new HakoError({
      code: "unsupported",
      message: `no ${controller} controller in cgroup ${dir}${failed === undefined ? "" : `: ${failed.message}`}`,
      hint: whyNot(node, parent, controller),
      errno: failed?.errno,
    });
  }
}

function whyNot({ mountpoint }: CgroupNode, parent: string, controller: string): string {
  const type = tryReadValue(`${parent}/cgroup.type`);
  if (type !== undefined && type !== "domain") {
    return `${parent} is of type "${type}": below a threaded cgroup only cpu, cpuset, perf_event and pids work`;
  }
  if (holdsProcesses(parent)) {
    const other = parent === mountpoint ? "" : "use another cgroupsPath, or ";
    return `${parent} holds processes itself, so its children get no controllers: ${other}${moveBelow(parent)}`;
  }
  if (!controllersIn(parent).includes(controller)) {
    return `${parent} has no ${controller}; see cgroup.controllers and the kernel's configuration`;
  }
  return `run as root, or ${DELEGATION}`;
}

/** Removes a cgroup and all below it. A cgroup stays busy for a moment after the death of its last process. */
function removeTree(dir: string, deadline: number): void {
  for (let wait = 1; ; wait = Math.min(wait * 2, 50)) {
    try {
      removeDirectory(dir);
      return;
    } catch (thrown) {
      const errno = errnoOf(thrown);
      if (errno === "ENOENT") return;
      if (errno !== "EBUSY" || performance.now() > deadline) throw thrown;
    }
    if (!removeBelow(dir)) Bun.sleepSync(wait);
  }
}

/** Removes the directories that `makeNode` made: parents only if they are empty. */
export function removeNode(node: CgroupNode): void {
  const leaf = directoryOf(node);
  for (const dir of node.made.toReversed()) {
    if (dir === leaf) removeTree(dir, performance.now() + BUSY_WAIT_MS);
    else {
      try {
        removeDirectory(dir);
      } catch {
        // another container is there by now
      }
    }
  }
  node.made = [];
}
