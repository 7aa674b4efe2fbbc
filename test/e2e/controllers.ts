// Which hierarchies of this host have which controllers, and what there is to limit.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { readLayout } from "../../src/cgroup";
import type { Needs } from "./support";

const layout = readLayout();

/** A disk with its numbers, which limits of block IO need. */
export function diskNumbers(): { major: number; minor: number } | undefined {
  const disks = existsSync("/sys/block") ? readdirSync("/sys/block") : [];
  const disk = disks.find((name) => /^(vd|sd|nvme|xvd|zram|loop)/.test(name));
  if (disk === undefined) return undefined;
  const [major, minor] = readFileSync(`/sys/block/${disk}/dev`, "utf8").trim().split(":").map(Number);
  return major === undefined || minor === undefined ? undefined : { major, minor };
}
const v1Controllers = layout.hierarchies.flatMap(({ controllers }) => controllers);
function unifiedControllers(): string[] {
  const unified = layout.hierarchies.find((hierarchy) => hierarchy.unified);
  return unified === undefined
    ? []
    : readFileSync(`${unified.mountpoint}/cgroup.controllers`, "utf8").trim().split(" ");
}
const V2_NAMES: Record<string, string> = { blkio: "io" };
/** Where this host has a controller. */
export function placeOf(controller: string): "v1" | "v2" | undefined {
  if (v1Controllers.includes(controller)) return "v1";
  return unifiedControllers().includes(V2_NAMES[controller] ?? controller) ? "v2" : undefined;
}

/** The hierarchy in which the controller is, by its mount point. */
export function mountpointOf(controller: string): string | undefined {
  const place = placeOf(controller);
  return layout.hierarchies.find(({ controllers, unified }) =>
    place === "v2" ? unified : controllers.includes(controller),
  )?.mountpoint;
}

/** Files that a kernel may lack. */
export function fileNeeded(place: "v1" | "v2", controller: string, file: string): Needs {
  const hierarchy = layout.hierarchies.find(({ controllers, unified }) =>
    place === "v2" ? unified : controllers.includes(controller),
  );
  const optional = /bfq|io\.weight|memsw|swap|use_hierarchy|idle|burst|rsvd|2MB/.test(file);
  if (!optional || hierarchy === undefined || process.getuid?.() !== 0) return undefined;
  return hasFile(hierarchy.mountpoint, V2_NAMES[controller] ?? controller, file)
    ? undefined
    : `this kernel has no ${file}`;
}

const filesOf = new Map<string, readonly string[]>();

/** What a cgroup has that isn't the root, which has not every file. */
function hasFile(mountpoint: string, controller: string, file: string): boolean {
  const key = `${mountpoint} ${controller}`;
  const known = filesOf.get(key);
  if (known !== undefined) return known.includes(file);
  const dir = `${mountpoint}/hako-e2e-${process.pid}-files`;
  mkdirSync(dir);
  try {
    const control = `${dir}/cgroup.subtree_control`;
    // only v2 has it: a controller is in a cgroup when the one above gives it
    if (existsSync(control)) writeFileSync(`${mountpoint}/cgroup.subtree_control`, `+${controller}`);
    const files = readdirSync(dir);
    filesOf.set(key, files);
    return files.includes(file);
  } finally {
    rmdirSync(dir);
  }
}
