import type { ErrnoName } from "../base/errno";
import type { HakoError } from "../base/errors";
import { pidsShortage } from "../cgroup/stats/shortage";
import { exists } from "../linux/file/file";
import { capabilityBit } from "../linux/process/capabilities";
import {
  NAMESPACE_FILES,
  NAMESPACE_FLAGS,
  NAMESPACE_TYPES,
  type NamespaceType,
} from "../linux/process/namespace";
import { getLimit } from "../linux/process/rlimit";
import { effectiveUser } from "../linux/process/rootless";
import { type Confinement, confinedHint, confinement, rightsHint } from "./rights";
import { procfsValue, userNamespaceSwitch } from "./user-namespace-switch";

const NO_LIMIT = 2n ** 64n - 1n;

/** The call that failed to make a process. */
export interface CloneCall {
  /** CLONE_NEW* */
  flags: number;
  /** The v2 cgroup that it was to be born in. */
  born: string | undefined;
  /** It was to be born in a pid namespace that was joined. */
  joinsPid: boolean;
}

/** Adds the reason that this host shows to an error of clone3, clone or unshare. Other errors are returned unchanged. */
export function explainClone(error: HakoError, call: CloneCall): HakoError {
  if (!["clone3", "clone", "unshare"].includes(error.syscall ?? "")) return error;
  const hint = cloneHint(error, call);
  return hint === undefined ? error : error.with({ hint });
}

function cloneHint(error: HakoError, { flags, born, joinsPid }: CloneCall): string | undefined {
  const types = NAMESPACE_TYPES.filter((type) => (flags & NAMESPACE_FLAGS[type]) !== 0);
  switch (error.errno) {
    case "EAGAIN":
      return noMoreProcesses(born);
    case "ENOSPC":
    case "EUSERS":
      return noMoreNamespaces(types);
    // of a seccomp filter; of AppArmor, as of Linux 6.7
    case "EPERM":
    case "EACCES":
      return types.includes("user")
        ? userNamespaceRefused(undefined, undefined, error.errno)
        : refused(error);
    case "ENOSYS":
      return refused(error);
    case "EINVAL": {
      const missing = types.filter((type) => !exists(`/proc/self/ns/${NAMESPACE_FILES[type]}`));
      return missing.length === 0 ? undefined : `this kernel has no ${missing.join(", ")} namespaces`;
    }
    case "ENOMEM":
      return joinsPid
        ? "the first process of the pid namespace that it joins has ended: make its owner, the pod's sandbox, anew"
        : undefined;
    default:
      return undefined;
  }
}

function noMoreProcesses(born: string | undefined): string {
  const short = pidsShortage(born);
  if (short !== undefined) {
    return `cgroup ${short.cgroup} has all the ${short.limit} processes that its pids.max allows: raise it, or end some`;
  }
  const { soft } = getLimit(0, "RLIMIT_NPROC");
  const own = soft === NO_LIMIT ? "" : `RLIMIT_NPROC is ${soft} for user ${effectiveUser()}; `;
  return `${own}kernel.threads-max is ${procfsValue("/proc/sys/kernel/threads-max")}, kernel.pid_max ${procfsValue("/proc/sys/kernel/pid_max")}`;
}

function noMoreNamespaces(types: readonly NamespaceType[]): string {
  const limits = types.map((type) => {
    const name = `user.max_${NAMESPACE_FILES[type]}_namespaces`;
    return { name, limit: procfsValue(`/proc/sys/${name.replace(".", "/")}`) };
  });
  const zero = limits.find(({ limit }) => limit === "0");
  if (zero !== undefined) return `${zero.name} is 0: sysctl -w ${zero.name}=15000`;
  const all = limits.map(({ name, limit }) => `${name} is ${limit}`).join(", ");
  return `one of these is used up, or namespaces are nested too deep: ${all}`;
}

/** Why there is no user namespace, or one without rights. `read` gives the value of a file of procfs. */
export function userNamespaceRefused(
  read?: (file: string) => string | undefined,
  confined: Confinement = confinement(),
  errno?: ErrnoName,
): string {
  const other =
    errno === "EACCES"
      ? "a security module forbids it: see the kernel's log (dmesg)"
      : "no user namespace is made from within a chroot";
  return userNamespaceSwitch(read) ?? forbidden(confined, errno) ?? other;
}

function forbidden(confined: Confinement, errno?: ErrnoName): string | undefined {
  const hint = confinedHint(confined, errno);
  const isAppArmors = confined.profile !== undefined && !confined.profile.includes(":");
  return isAppArmors && hint !== undefined ? `${hint}, or "userns," in an AppArmor profile` : hint;
}

/** Why the maps of a user namespace were refused: to map root takes a right of its own (verify_root_map in kernel/user_namespace.c, Linux 5.12). */
export function mapRefused(confined: Confinement = confinement()): string {
  const lacks = confined.root && (confined.capabilities & capabilityBit("CAP_SETFCAP")) === 0n;
  return lacks
    ? "root lacks CAP_SETFCAP here, without which it has no user namespace: --cap-add SETFCAP in the container that hako runs in, or another user there"
    : userNamespaceRefused(undefined, confined);
}

/** Why namespaces were refused that come without a user namespace, or why the call itself was. */
function refused(error: HakoError): string | undefined {
  const confined = confinement();
  const hint = rightsHint(error, confined);
  return error.errno === "ENOSYS" || confined.root || hint === undefined
    ? hint
    : `${hint}, or with a user namespace in config /linux/namespaces (hako spec --rootless)`;
}
