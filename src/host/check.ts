import { asHakoError, HakoError } from "../base/errors";
import { readLayout } from "../cgroup";
import { DELEGATION } from "../cgroup/hierarchy/delegation";
import { systemdVersion } from "../cgroup/systemd/version";
import { findVirtiofsd } from "../drivers/vm/files/find-virtiofsd";
import { findParts, knownProbe } from "../drivers/vm/probe";
import { viewTemplates } from "../drivers/vm/templates";
import { machineWords, templateWords } from "../drivers/vm/words";
import { inOuterWords } from "../explain/outer-container";
import { hasErrno, readText } from "../linux/file/file";
import { openToLook } from "../linux/file/path";
import { mountStatusOf } from "../linux/file/stat";
import { kernelRelease } from "../linux/kernel/uname";
import { capabilityBit, effectiveCapabilities } from "../linux/process/capabilities";
import { findHostProgram } from "../linux/process/execute";
import { keepsFiles, landlockAbi } from "../linux/process/landlock";
import { NAMESPACE_FILES, NAMESPACE_TYPES, type NamespaceType } from "../linux/process/namespace";
import { getLimit } from "../linux/process/rlimit";
import { effectiveUser, isRootless } from "../linux/process/rootless";
import { type MachineSettings, readSettings } from "../settings/settings";
import { tryCgroups, tryNamespace, tryRights } from "./trials";

/** "missing": containers don't run without it. "absent": something more would work with it. */
export type Verdict = "ok" | "missing" | "absent" | "not tried";

export interface CheckResult {
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
  /** What to do when `look` gives no better hint. */
  advice: string;
  /** What was found; undefined when it isn't there, an error when it fails. */
  look(): string | undefined;
}

const FIRST_KERNEL = [5, 12] as const;
/** What `hako spec`, `run --rootfs` and clients ask for if they are not told otherwise. */
const USUAL_NAMESPACES: readonly NamespaceType[] = ["mount", "pid", "network", "ipc", "uts"];
const WANTED_CONTROLLERS = ["cpu", "memory", "pids"];
const LEAST_FILES = 1024n;
const MACHINES = "hako machine show tells more";
/** What podman and buildah ask for as root, up to a sysctl, whatever the caller's limits are (podman's RLimitDefaultValue). */
const CLIENTS_LIMIT = 1048576;
const CLIENTS_LIMITS = [
  { limit: "RLIMIT_NOFILE", name: "nofile", sysctl: "/proc/sys/fs/nr_open" },
  { limit: "RLIMIT_NPROC", name: "nproc", sysctl: "/proc/sys/kernel/pid_max" },
] as const;

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
    needed: USUAL_NAMESPACES.includes(type),
    advice: `a kernel with them; see /proc/sys/user/max_${NAMESPACE_FILES[type]}_namespaces`,
    look() {
      // root makes this namespace without a user namespace
      tryNamespace(type);
      const limit = namespaceLimit(type);
      return limit === undefined ? "made" : `made, up to ${limit}`;
    },
  }),
);

function controllersOf(): string[] {
  return readLayout().hierarchies.flatMap(({ controllers, unified, mountpoint }) =>
    unified ? (words(`${mountpoint}/cgroup.controllers`) ?? "").split(" ").filter(Boolean) : controllers,
  );
}

/** What helps where a container gets no cgroup of its own. */
function cgroupAdvice(mountpoint: string): string {
  const instead = "limits are refused, containers without limits run";
  using place = openToLook(mountpoint);
  if (place !== undefined && mountStatusOf(place).readonly) {
    return `${instead}; in a container mount cgroups writable: --privileged, or --cgroupns host -v /sys/fs/cgroup:/sys/fs/cgroup`;
  }
  return isRootless() ? `${instead}; ${DELEGATION}` : instead;
}

/** Whether rlimits can be raised above the caller's, or those suffice for what clients ask for by default. */
function raisedLimits(): string {
  if ((effectiveCapabilities() & capabilityBit("CAP_SYS_RESOURCE")) !== 0n) return "CAP_SYS_RESOURCE";
  if (effectiveUser() !== 0) return "not needed: an ordinary user's clients ask for no more than there is";
  const limits = CLIENTS_LIMITS.map(({ limit, name, sysctl }) => {
    const asked = Math.min(CLIENTS_LIMIT, Number(words(sysctl) ?? CLIENTS_LIMIT));
    return { name, hard: Number(getLimit(0, limit).hard), asked };
  });
  const low = limits.filter(({ hard, asked }) => hard < asked);
  if (low.length === 0) return "no CAP_SYS_RESOURCE, but as much as podman asks for";
  const told = low.map(({ name, hard, asked }) => `${name} is ${hard}, podman asks for ${asked}`);
  // all of them: where one is named, podman asks for more of the other (4.3.1)
  const possible = limits.map(({ name, hard, asked }) => `"${name}=${Math.min(hard, asked)}"`);
  throw new HakoError({
    code: "system",
    message: `no CAP_SYS_RESOURCE: ${told.join(", ")}`,
    hint: `containers.conf: default_ulimits = [${possible.join(", ")}]; in a container --cap-add SYS_RESOURCE`,
  });
}

/** The version of systemd; undefined where none runs. */
function runningSystemd(): string | undefined {
  try {
    return systemdVersion();
  } catch (error) {
    if (error instanceof HakoError && hasErrno(error.cause, "ENOENT")) return undefined;
    throw error;
  }
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
    look: tryRights,
  },
  ...namespaces,
  {
    name: "proc mounts",
    needed: true,
    advice: "",
    look() {
      tryNamespace("procfs");
      return "made";
    },
  },
  {
    name: "loopback",
    needed: false,
    advice: "run --rootfs goes without; bundles and clients need it",
    look() {
      tryNamespace("loopback");
      return "brought up";
    },
  },
  {
    name: "host names",
    needed: false,
    advice: "run --rootfs without --hostname needs none",
    look() {
      tryNamespace("host name");
      return "set";
    },
  },
  {
    name: "cgroups",
    // the rules for devices that containers of root have are in one
    get needed() {
      return !isRootless() && readLayout().hierarchies.length === 0;
    },
    advice: "no limits without, and no containers of root's: mount -t cgroup2 cgroup2 /sys/fs/cgroup",
    look() {
      const { version, hierarchies } = readLayout();
      const [first] = hierarchies;
      if (first === undefined) return undefined;
      try {
        tryCgroups();
      } catch (thrown) {
        const cause = asHakoError(thrown);
        throw new HakoError({
          code: "system",
          message: version,
          cause,
          hint: cause.hint ?? cgroupAdvice(first.mountpoint),
        });
      }
      return version;
    },
  },
  ...controllers,
  {
    name: "systemd",
    needed: false,
    advice: "--systemd-cgroup needs it; without it use clients' cgroupfs managers",
    look: runningSystemd,
  },
  {
    name: "seccomp",
    needed: false,
    advice: "a kernel with CONFIG_SECCOMP_FILTER, or clients' seccomp=unconfined",
    look: () => (words("/proc/sys/kernel/seccomp/actions_avail")?.includes("errno") ? "filters" : undefined),
  },
  {
    name: "landlock",
    needed: false,
    advice: "linux 6.2 or newer with CONFIG_SECURITY_LANDLOCK, and landlock in lsm= of its command line",
    look() {
      const abi = landlockAbi();
      if (abi === 0) return undefined;
      return `ABI ${abi}${keepsFiles() ? ", enough for run --weaker namespaces" : ""}`;
    },
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
    name: "raised limits",
    needed: false,
    advice: "",
    look: raisedLimits,
  },
  {
    name: "ids for rootless",
    needed: false,
    advice: "install newuidmap and newgidmap (uidmap), for users who make containers",
    look: () =>
      findHostProgram("newuidmap") !== undefined && findHostProgram("newgidmap") !== undefined
        ? "newuidmap"
        : undefined,
  },
  {
    name: "criu",
    needed: false,
    advice: "checkpoints need it: install criu",
    look: () => findHostProgram("criu"),
  },
];

/** Whether this host can run containers, point by point: what can be tried is tried. */
export function checkHost(): CheckResult[] {
  return [...CHECKS.map(resultOf), checkMachines()];
}

/** What is known of machines. A boot takes seconds, and a file of some hundred MiB: here none is tried. */
function checkMachines(): CheckResult {
  const name = "machines";
  try {
    const { machine: settings } = readSettings();
    const parts = findParts(settings);
    const probe = knownProbe(parts);
    if (probe === undefined) {
      const found = `${parts.qemu.path}, kernel ${parts.kernel.release}`;
      return { name, verdict: "not tried", found, advice: "hako machine probe boots one" };
    }
    const works = probe.accelerator !== undefined;
    return {
      name,
      verdict: works ? "ok" : "absent",
      found: works
        ? `${machineWords(probe)}; ${templateWords(viewTemplates(settings).use)}`
        : machineWords(probe),
      advice: works ? lackOfServer(settings) : MACHINES,
    };
  } catch (thrown) {
    const error = asHakoError(thrown);
    return { name, verdict: "absent", found: error.reason, advice: error.advice ?? MACHINES };
  }
}

/** What makes containers in machines able to write files of the host's; empty where they are. */
function lackOfServer({ virtiofsd }: MachineSettings): string {
  try {
    findVirtiofsd(virtiofsd);
    return "";
  } catch (error) {
    return `for files that containers write: ${asHakoError(error).oneLine}`;
  }
}

function resultOf({ name, needed, advice, look }: Check): CheckResult {
  let found: string | undefined;
  let failed: HakoError | undefined;
  try {
    found = look();
  } catch (error) {
    failed = asHakoError(error);
  }
  if (found !== undefined) return { name, verdict: "ok", found, advice: "" };
  return {
    name,
    verdict: needed ? "missing" : "absent",
    found: failed?.reason ?? "not there",
    advice: inOuterWords(failed?.advice ?? advice),
  };
}
