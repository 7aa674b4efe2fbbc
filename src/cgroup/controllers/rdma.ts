import type { Resources } from "../../oci/config";
import { pointer } from "../../oci/json";
import type { Target } from "./target";

/** Writes linux.resources.rdma: handles and objects of a device. v1 and v2 have the same file. */
export function applyRdma(target: Target, { rdma = {} }: Resources): void {
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(rdma)) {
    const field = pointer(["rdma", device]);
    const limits = [
      ["hca_handle", hcaHandles],
      ["hca_object", hcaObjects],
    ] as const;
    const words = limits.flatMap(([word, value]) => (value === undefined ? [] : [`${word}=${value}`]));
    target.write(target.need("rdma", field), "rdma.max", [device, ...words].join(" "), field);
  }
}
