export type { Cgroup, CgroupEntry, CgroupMounts } from "./group/cgroup";
export { openCgroup } from "./group/of-config";
export { type CgroupVersion, cgroupRoot, type Layout, parseLayout, readLayout } from "./hierarchy/layout";
export type { CgroupNode, CgroupRecord, UnitRecord } from "./hierarchy/record";
export type { CgroupStats } from "./stats/stats-types";
