import { directoryOf } from "../../cgroup/hierarchy/node";
import type { ContainerRecord } from "../../state/record";
import type { PlainRemoval } from "../interface/driver";

/** What `endProcesses` and `removeMade` would do after the end of the first process; undefined where it takes more than system calls. */
export function plainRemoval(record: ContainerRecord): PlainRemoval | undefined {
  const { cgroup, resctrl, hostMounts, ownPidNamespace } = record;
  if (resctrl !== undefined || hostMounts !== undefined || cgroup?.unit !== undefined) return undefined;
  const nodes = cgroup?.nodes ?? [];
  // in the root of a hierarchy nobody's processes are killed
  if (!ownPidNamespace && nodes.some(({ path }) => path === "/")) return undefined;
  const unified = nodes.find((node) => node.unified && node.skipped === undefined);
  return {
    // the end of a pid namespace's first process has ended all others
    kill: ownPidNamespace || unified === undefined ? undefined : `${directoryOf(unified)}/cgroup.kill`,
    emptied: ownPidNamespace || unified !== undefined,
    cgroups: nodes.filter((node) => node.made.includes(directoryOf(node))).map(directoryOf),
    above: nodes.flatMap((node) => node.made.filter((dir) => dir !== directoryOf(node)).toReversed()),
  };
}
