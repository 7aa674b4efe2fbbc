/** Who makes cgroups: hako by itself, systemd, or nobody (crun's --cgroup-manager). */
export const CGROUP_MANAGERS = ["cgroupfs", "systemd", "disabled"] as const;
export type CgroupManager = (typeof CGROUP_MANAGERS)[number];
