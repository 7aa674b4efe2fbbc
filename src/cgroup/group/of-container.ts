import { HakoError } from "../../base/errors";
import { readText } from "../../linux/file/file";
import { containerId } from "../../oci/id";
import type { Cgroup, CgroupRecord } from "..";
import { errnoOf } from "../hierarchy/files";
import { loadCgroup } from "./stored";

/** The cgroups of a container by its id, from its stored record below `root`. */
export function containerCgroup(text: string, root: string): Cgroup {
  const id = containerId(text);
  const file = `${root}/${id}/state.json`;
  let record: { cgroup?: CgroupRecord };
  try {
    record = JSON.parse(readText(file)) as { cgroup?: CgroupRecord };
  } catch (thrown) {
    if (errnoOf(thrown) !== "ENOENT") throw thrown;
    throw new HakoError({
      code: "not-found",
      message: `container ${id} does not exist`,
      hint: "see hako list",
    });
  }
  if (record.cgroup === undefined) {
    throw new HakoError({ code: "state", message: `container ${id} has no cgroups` });
  }
  return loadCgroup(record.cgroup);
}
