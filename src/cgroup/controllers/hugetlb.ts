import { listNames } from "../../linux/file/file";
import type { Resources } from "../../oci/config";
import { directoryOf } from "../hierarchy/node";
import type { Target } from "./target";

/** Writes linux.resources.hugepageLimits. Page sizes are written as the kernel does: "2MB", "1GB", "64KB". */
export function applyHugetlb(target: Target, { hugepageLimits = [] }: Resources): void {
  for (const [index, { pageSize, limit }] of hugepageLimits.entries()) {
    const pointer = `/hugepageLimits/${index}`;
    const node = target.need("hugetlb", pointer);
    const suffix = node.unified ? "max" : "limit_in_bytes";
    const file = `hugetlb.${pageSize}.${suffix}`;
    if (!target.exists(node, file)) {
      const hint = `this host has ${pageSizes(directoryOf(node)).join(", ") || "none"}`;
      throw target.refuse(`${pointer}/pageSize`, `no huge pages of ${pageSize}`, hint);
    }
    target.write(node, file, limit, `${pointer}/limit`);
    // The kernel counts reserved pages apart: without a limit of its own a reservation would not be limited.
    const reserved = `hugetlb.${pageSize}.rsvd.${suffix}`;
    if (target.exists(node, reserved)) target.write(node, reserved, limit, `${pointer}/limit`);
  }
}

function pageSizes(dir: string): string[] {
  const files = listNames(dir).map((file) => /^hugetlb\.([0-9]+[KMG]B)\./.exec(file)?.[1]);
  return [...new Set(files.filter((size) => size !== undefined))];
}
