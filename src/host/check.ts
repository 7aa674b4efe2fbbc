import { readLayout } from "../cgroup";
import { asHakoError } from "../errors";
import { permittedCapabilities, SYS_ADMIN } from "../linux/capabilities";
import { findProgram } from "../linux/exec";
import { checkAccess, exists, readText } from "../linux/file";
import { NAMESPACE_FILES, NAMESPACE_TYPES, type NamespaceType } from "../linux/namespace";
import { getLimit } from "../linux/rlimit";
import { kernelRelease } from "../linux/uname";
import { systemdVersion } from "../systemd/version";

/** "ok", "missing" (containers don't run without), or "absent" (something more would work with it). */
export type Verdict = "ok" | "missing" | "absent";

export interface Finding {
  name: string;
  verdict: Verdict;
  /** What was found. */
  found: string;
  /** What to do about it; empty when nothing is to be done. */
  advice: string;
}

interface Check {
  name: string;
  /** Containers don't run without it. */
  needed: boolean;
  advice: string;
  /** What was found; undefined when it isn't there. */
  look(): string | undefined;
}

const R_W = 6;
const FIRST_KERNEL = [5, 12] as const;
/** Without these no container is made. */
const NEEDED_NAMESPACES = ["mount", "pid"];
const WANTED_CONTROLLERS = ["cpu", "memory", "pids"];
const LEAST_FILES = 1024n;

function words(path: string): string | undefined {
  try {
    return readText(path).trim();
  } catch {
    return undefined;
  }
}

/** How many namespaces of a type this user may make; undefined on a kernel without them. */
function namespaceLimit(type: NamespaceType): string | undefined {
  return words(`/proc/sys/user/max_${NAMESPACE_FILES[type]}_namespaces`);
}

const namespaces = NAMESPACE_TYPES.map(
  (type): Check => ({
    name: `${type} namespaces`,
    needed: NEEDED_NAMESPACES.includes(type),
    advice:
      type === "time"
        ? "a kernel with CONFIG_TIME_NS"
        : `a kernel with them; see /proc/sys/user/max_${NAMESPACE_FILES[type]}_namespaces`,
    look() {
      const limit = namespaceLimit(type);
      if (!exists(`/proc/self/ns/${NAMESPACE_FILES[type]}`) || limit === "0") return undefined;
      return limit === undefined ? "there" : `up to ${limit}`;
    },
  }),
);

function controllersOf(): string[] {
  return readLayout().hierarchies.flatMap(({ controllers, unified, mountpoint }) =>
    unified ? (words(`${mountpoint}/cgroup.controllers`) ?? "").split(" ").filter(Boolean) : controllers,
  );
}

const controllers = WANTED_CONTROLLERS.map(
  (name): Check => ({
    name: `cgroup controller ${name}`,
    needed: false,
    advice: `limits of it are refused; on v1 mount it, on v2 see cgroup_disable= in /proc/cmdline`,
    look: () => (controllersOf().some((each) => each === name) ? "there" : undefined),
  }),
);

const CHECKS: readonly Check[] = [
  {
    name: "kernel",
    needed: true,
    advice: `linux ${FIRST_KERNEL.join(".")} or newer`,
    look() {
      const [major = 0, minor = 0] = kernelRelease();
      const enough = major > FIRST_KERNEL[0] || (major === FIRST_KERNEL[0] && minor >= FIRST_KERNEL[1]);
      return enough ? words("/proc/sys/kernel/osrelease") : undefined;
    },
  },
  {
    name: "rights",
    needed: true,
    advice: "run as root, or allow user namespaces: sysctl user.max_user_namespaces=10000",
    look() {
      if ((permittedCapabilities() & SYS_ADMIN) !== 0n) return "CAP_SYS_ADMIN";
      // an ordinary user has rights in a user namespace of its own
      const limit = namespaceLimit("user");
      return limit === undefined || limit === "0" ? undefined : "in a user namespace";
    },
  },
  ...namespaces,
  {
    name: "cgroups",
    needed: false,
    advice: "no limits without: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    look() {
      const { version, hierarchies } = readLayout();
      return hierarchies.length === 0 ? undefined : version;
    },
  },
  ...controllers,
  {
    name: "systemd",
    needed: false,
    advice:
      "--systemd-cgroup needs it, or for an ordinary user systemd --user; else use clients' cgroupfs managers",
    look: systemdVersion,
  },
  {
    name: "seccomp",
    needed: false,
    advice: "a kernel with CONFIG_SECCOMP_FILTER, or clients' seccomp=unconfined",
    look: () => (words("/proc/sys/kernel/seccomp/actions_avail")?.includes("errno") ? "filters" : undefined),
  },
  {
    name: "programs in memory",
    needed: false,
    advice: "exec needs them: sysctl vm.memfd_noexec=1",
    look: () => (words("/proc/sys/vm/memfd_noexec") === "2" ? undefined : "allowed"),
  },
  {
    name: "overlay",
    needed: false,
    advice: "run --rootfs / and clients' image layers need it: modprobe overlay",
    look: () => (words("/proc/filesystems")?.split(/\s+/).includes("overlay") ? "there" : undefined),
  },
  {
    name: "open files",
    needed: false,
    advice: `raise it: ulimit -n ${LEAST_FILES}`,
    look() {
      const { hard } = getLimit(0, "RLIMIT_NOFILE");
      return hard >= LEAST_FILES ? `up to ${hard}` : undefined;
    },
  },
  {
    name: "ids for rootless",
    needed: false,
    advice: "install newuidmap and newgidmap (uidmap), for users who make containers",
    look: () =>
      findProgram("newuidmap") !== undefined && findProgram("newgidmap") !== undefined
        ? "newuidmap"
        : undefined,
  },
  {
    name: "criu",
    needed: false,
    advice: "checkpoints need it: install criu",
    look: () => findProgram("criu"),
  },
  {
    name: "machines",
    needed: false,
    advice: "virtual machines need /dev/kvm, to be read and written",
    look() {
      checkAccess("/dev/kvm", R_W);
      return "/dev/kvm";
    },
  },
];

/** Whether this host can run containers, point by point. */
export function checkHost(): Finding[] {
  return CHECKS.map(({ name, needed, advice, look }) => {
    let found: string | undefined;
    let why = "not there";
    try {
      found = look();
    } catch (error) {
      why = asHakoError(error).oneLine;
    }
    if (found !== undefined) return { name, verdict: "ok", found, advice: "" };
    return { name, verdict: needed ? "missing" : "absent", found: why, advice };
  });
}
