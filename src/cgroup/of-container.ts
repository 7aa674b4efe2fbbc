import { readFileSync } from "node:fs";
import { HakoError } from "../errors";
import type { Cgroup, CgroupRecord } from "./index";
import { loadCgroup } from "./index";

/** TEMP */
export function containerCgroup(id: string, root: string): Cgroup {
  if (!/^[\w+.-]+$/.test(id) || id === "." || id === "..") {
    throw new HakoError({ code: "usage", message: `"${id}" is no container id` });
  }
  const record = JSON.parse(readFileSync(`${root}/${id}/state.json`, "utf8")) as { cgroup?: CgroupRecord };
  if (record.cgroup === undefined)
    throw new HakoError({ code: "state", message: `container ${id} has no cgroups` });
  return loadCgroup(record.cgroup);
}
