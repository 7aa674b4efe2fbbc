import { HakoError } from "../base/errors";
import type { Cgroup } from "../cgroup";
import { loadCgroup } from "../cgroup/group/stored";
import type { ContainerRecord } from "./record";

/** The host's cgroups of a container; an error if it has none. */
export function cgroupOf({ id, cgroup }: Pick<ContainerRecord, "id" | "cgroup">): Cgroup {
  if (cgroup !== undefined) return loadCgroup(cgroup);
  throw new HakoError({ code: "state", message: `container "${id}" has no cgroups` });
}
