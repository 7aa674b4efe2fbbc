import type { Resources } from "../../oci/config";
import type { Target } from "./target";

/** Writes linux.resources.cpu.cpus and mems: processors and memory nodes. v1 and v2 have the same files. */
export function applyCpuset(target: Target, { cpu = {} }: Resources): void {
  for (const name of ["cpus", "mems"] as const) {
    const list = cpu[name];
    if (list === undefined || list === "") continue;
    const node = target.need("cpuset", `/cpu/${name}`);
    const failed = target.tryWrite(node, `cpuset.${name}`, list);
    if (failed === undefined) continue;
    const offered =
      target.read(node, `cpuset.${name}.effective`) ?? target.read(node, `cpuset.effective_${name}`);
    const hint = offered === undefined ? undefined : `the parent cgroup offers "${offered}"`;
    throw target.failure(`/cpu/${name}`, failed, `cpuset.${name}`, hint);
  }
}
