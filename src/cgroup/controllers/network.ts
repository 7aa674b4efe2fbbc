import type { Resources } from "../../oci/config";
import type { Target } from "./target";

const MAX = 0xffffffffn;

/** network: the class of packets (net_cls) and their priority by interface (net_prio); cgroup v1 only. */
export function applyNetwork(target: Target, network: Resources["network"]): void {
  const { classID, priorities = [] } = network ?? {};
  if (classID !== undefined && BigInt(classID) !== 0n) {
    const pointer = "/network/classID";
    target.write(target.need("net_cls", pointer), "net_cls.classid", BigInt(classID) & MAX, pointer);
  }
  priorities.forEach(({ name, priority }, index) => {
    const pointer = `/network/priorities/${index}`;
    target.write(target.need("net_prio", pointer), "net_prio.ifpriomap", `${name} ${priority}`, pointer);
  });
}

/** rdma: handles and objects of a device; the same file on v1 and v2. */
export function applyRdma(target: Target, rdma: Resources["rdma"]): void {
  for (const [device, { hcaHandles, hcaObjects }] of Object.entries(rdma ?? {})) {
    const pointer = `/rdma/${device.replaceAll("~", "~0").replaceAll("/", "~1")}`;
    const limits = [
      ["hca_handle", hcaHandles],
      ["hca_object", hcaObjects],
    ] as const;
    const words = limits.flatMap(([word, value]) => (value === undefined ? [] : [`${word}=${value}`]));
    target.write(target.need("rdma", pointer), "rdma.max", [device, ...words].join(" "), pointer);
  }
}
