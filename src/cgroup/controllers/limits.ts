import { listNames } from "../../linux/file/file";
import type { Resources } from "../../oci/config";
import type { Integer } from "../../oci/json";
import { unifiedFileProblem } from "../../oci/unified-files";
import { directoryOf } from "../hierarchy/node";
import { isLimit, isSet } from "./amount";
import type { Target } from "./target";

/**
 * pids.limit: negative is no limit; 0 leaves it as it is. (By runtime-spec 1.3 it is a limit, of 0 processes. By all before that it
 * isn't, and containerd, CRI-O and podman send it for "not said". Whoever means it has `unified`.)
 */
export function applyPids(target: Target, pids: Resources["pids"]): void {
  const limit = pids?.limit;
  if (!isSet(limit)) return;
  if (!isLimit(limit) && target.find("pids") === undefined) return;
  const node = target.need("pids", "/pids/limit");
  target.write(node, "pids.max", isLimit(limit) ? limit : "max", "/pids/limit");
}

/** hugepageLimits: page sizes as the kernel spells them, "2MB", "1GB", "64KB". */
export function applyHugepages(target: Target, limits: Resources["hugepageLimits"]): void {
  for (const [index, { pageSize, limit }] of (limits ?? []).entries()) {
    const pointer = `/hugepageLimits/${index}`;
    if (!/^[1-9][0-9]*[KMG]B$/.test(pageSize)) {
      throw target.wrong(`${pointer}/pageSize`, `"${pageSize}" is not a page size`, 'for example "2MB"');
    }
    const node = target.need("hugetlb", pointer);
    const suffix = node.unified ? "max" : "limit_in_bytes";
    const file = `hugetlb.${pageSize}.${suffix}`;
    if (!target.exists(node, file)) {
      const hint = `this host has ${pageSizes(directoryOf(node)).join(", ") || "none"}`;
      throw target.refuse(`${pointer}/pageSize`, `no huge pages of ${pageSize}`, hint);
    }
    target.write(node, file, limit, `${pointer}/limit`);
    // Reserved pages are accounted apart; without their own limit a reservation passes by the other one.
    const reserved = `hugetlb.${pageSize}.rsvd.${suffix}`;
    if (target.exists(node, reserved)) target.write(node, reserved, limit, `${pointer}/limit`);
  }
}

function pageSizes(dir: string): string[] {
  const files = listNames(dir).map((file) => /^hugetlb\.([0-9]+[KMG]B)\./.exec(file)?.[1]);
  return [...new Set(files.filter((size) => size !== undefined))];
}

/** unified: cgroup v2 files by name. */
export function applyUnified(target: Target, unified: Resources["unified"]): void {
  for (const [file, value] of Object.entries(unified ?? {})) {
    const pointer = `/unified/${file.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const problem = unifiedFileProblem(file);
    if (problem !== undefined) throw target.wrong(pointer, problem, 'for example "memory.high"');
    const controller = file.slice(0, file.indexOf("."));
    const root = target.need("", pointer);
    const node =
      target.exists(root, file) || controller === "cgroup" ? root : target.need(controller, pointer);
    if (!node.unified) {
      const hint = "use the field for this limit instead of unified";
      throw target.refuse(pointer, `the ${controller} controller is on cgroup v1 here`, hint);
    }
    // one setting a write: io.max takes one device at a time
    for (const line of value.split("\n").filter((text) => text !== ""))
      target.write(node, file, line, pointer);
  }
}

/** The numbers of a device, as cgroup files write them. */
export function deviceNumber(device: { major: Integer; minor: Integer }): string {
  return `${device.major}:${device.minor}`;
}
