import type { Resources } from "../../oci/config";
import { isSet } from "./amount";
import type { Target } from "./target";

/** Writes linux.resources.network: the class of packets (net_cls), and their priority by interface (net_prio). cgroup v1 only. */
export function applyNetwork(target: Target, { network = {} }: Resources): void {
  const { classID, priorities = [] } = network;
  if (isSet(classID)) {
    const pointer = "/network/classID";
    target.write(target.need("net_cls", pointer), "net_cls.classid", classID, pointer);
  }
  priorities.forEach(({ name, priority }, index) => {
    const pointer = `/network/priorities/${index}`;
    target.write(target.need("net_prio", pointer), "net_prio.ifpriomap", `${name} ${priority}`, pointer);
  });
}
