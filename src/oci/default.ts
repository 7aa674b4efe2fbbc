import { SPEC_VERSION } from "../base/hako-version";
import type { NamespaceType } from "../linux/process/namespace";
import type { Config } from "./config";

const CAPABILITIES = ["CAP_AUDIT_WRITE", "CAP_KILL", "CAP_NET_BIND_SERVICE"];
const MASKED_PATHS = [
  "/proc/acpi",
  "/proc/asound",
  "/proc/kcore",
  "/proc/keys",
  "/proc/latency_stats",
  "/proc/timer_list",
  "/proc/timer_stats",
  "/proc/sched_debug",
  "/sys/firmware",
  "/proc/scsi",
];
const READONLY_PATHS = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];
const COMMON = ["nosuid", "noexec"];

/**
 * The configuration that `hako spec` writes and `hako run --rootfs` starts from. It is runc's: a cgroup namespace is new on cgroup v2
 * alone.
 */
export function defaultConfig({
  rootless,
  cgroupNamespace = true,
}: {
  rootless: boolean;
  cgroupNamespace?: boolean;
}): Config {
  const namespaces: NamespaceType[] = [
    "pid",
    ...(rootless ? [] : (["network"] as const)),
    ...(["ipc", "uts", "mount"] as const),
    ...(rootless ? (["user"] as const) : []),
    ...(cgroupNamespace ? (["cgroup"] as const) : []),
  ];
  return {
    ociVersion: SPEC_VERSION,
    process: {
      terminal: true,
      user: { uid: 0, gid: 0 },
      args: ["sh"],
      env: ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "TERM=xterm"],
      cwd: "/",
      capabilities: { bounding: CAPABILITIES, effective: CAPABILITIES, permitted: CAPABILITIES },
      rlimits: [{ type: "RLIMIT_NOFILE", hard: 1024, soft: 1024 }],
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "hako",
    mounts: mounts(rootless),
    linux: {
      ...(rootless
        ? {
            uidMappings: [{ containerID: 0, hostID: process.geteuid?.() ?? 0, size: 1 }],
            gidMappings: [{ containerID: 0, hostID: process.getegid?.() ?? 0, size: 1 }],
          }
        : { resources: { devices: [{ allow: false, access: "rwm" }] } }),
      namespaces: namespaces.map((type) => ({ type })),
      maskedPaths: MASKED_PATHS,
      readonlyPaths: READONLY_PATHS,
    },
  };
}

function mounts(rootless: boolean): Config["mounts"] {
  const pts = ["newinstance", "ptmxmode=0666", "mode=0620", ...(rootless ? [] : ["gid=5"])];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    {
      destination: "/dev",
      type: "tmpfs",
      source: "tmpfs",
      options: ["nosuid", "strictatime", "mode=755", "size=65536k"],
    },
    { destination: "/dev/pts", type: "devpts", source: "devpts", options: [...COMMON, ...pts] },
    {
      destination: "/dev/shm",
      type: "tmpfs",
      source: "shm",
      options: [...COMMON, "nodev", "mode=1777", "size=65536k"],
    },
    { destination: "/dev/mqueue", type: "mqueue", source: "mqueue", options: [...COMMON, "nodev"] },
    rootless
      ? { destination: "/sys", type: "none", source: "/sys", options: ["rbind", ...COMMON, "nodev", "ro"] }
      : { destination: "/sys", type: "sysfs", source: "sysfs", options: [...COMMON, "nodev", "ro"] },
    {
      destination: "/sys/fs/cgroup",
      type: "cgroup",
      source: "cgroup",
      options: [...COMMON, "nodev", "relatime", "ro"],
    },
  ];
}
