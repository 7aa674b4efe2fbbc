import type { ErrnoName } from "../base/errno";
import { HakoError } from "../base/errors";
import type { SyscallName } from "../linux/call/syscall-numbers";
import { readText } from "../linux/file/file";
import { type CapabilityName, capabilityBit, effectiveCapabilities } from "../linux/process/capabilities";
import { effectiveUser } from "../linux/process/rootless";
import { userNamespaceSwitch } from "./user-namespace-switch";

/** The capability that the kernel wants for a system call that hako makes (capabilities(7)). */
const CAPABILITY_OF: Partial<Record<SyscallName, CapabilityName>> = {
  clone: "CAP_SYS_ADMIN",
  clone3: "CAP_SYS_ADMIN",
  unshare: "CAP_SYS_ADMIN",
  setns: "CAP_SYS_ADMIN",
  mount: "CAP_SYS_ADMIN",
  umount2: "CAP_SYS_ADMIN",
  pivot_root: "CAP_SYS_ADMIN",
  open_tree: "CAP_SYS_ADMIN",
  move_mount: "CAP_SYS_ADMIN",
  fsopen: "CAP_SYS_ADMIN",
  fsconfig: "CAP_SYS_ADMIN",
  fsmount: "CAP_SYS_ADMIN",
  mount_setattr: "CAP_SYS_ADMIN",
  sethostname: "CAP_SYS_ADMIN",
  setdomainname: "CAP_SYS_ADMIN",
  chroot: "CAP_SYS_CHROOT",
  mknodat: "CAP_MKNOD",
  setgroups: "CAP_SETGID",
  setresgid: "CAP_SETGID",
  setresuid: "CAP_SETUID",
};
/** The capability of calls that do many things, by a word of the error: what the call was made on, or for. */
const CAPABILITY_FOR: readonly (readonly [call: string, what: RegExp, capability: CapabilityName])[] = [
  ["ioctl", /\blo\b/, "CAP_NET_ADMIN"],
  // both of a network with rules
  ["netlink", /^netlink /, "CAP_NET_ADMIN"],
  ["socket", /^raw socket/, "CAP_NET_RAW"],
  ["prctl", /^prctl \(drop /, "CAP_SETPCAP"],
];

/** What limits what this process may do. */
export interface Confinement {
  root: boolean;
  capabilities: bigint;
  /** A seccomp filter is in force, mostly that of a container that hako runs in. */
  filtered: boolean;
  /** The AppArmor profile or SELinux domain that confines it; undefined if none does. */
  profile: string | undefined;
}

function value(file: string): string {
  try {
    return readText(file);
  } catch {
    return ""; // a kernel without it, or it is masked
  }
}

/** The confinement of this process. */
export function confinement(): Confinement {
  // "docker-default (enforce)", "system_u:system_r:container_t:s0:c1,c2", each with a NUL or a line break behind
  const label = value("/proc/self/attr/current").replace(/[\0\n]+$/, "");
  const confined = label !== "" && !/^unconfined\b|:unconfined_t:|:kernel_t:|\(complain\)$/.test(label);
  return {
    root: effectiveUser() === 0,
    capabilities: effectiveCapabilities(),
    filtered: /^Seccomp:\s*2$/m.test(value("/proc/self/status")),
    profile: confined ? label.replace(/ \(\w+\)$/, "") : undefined,
  };
}

/** Which flags of the outer container lift what confines hako. A security module mostly answers EACCES, a seccomp filter EPERM. */
export function confinedHint({ filtered, profile }: Confinement, errno?: ErrnoName): string | undefined {
  const filter = filtered
    ? "hako runs in a container whose seccomp filter may forbid it: --security-opt seccomp=unconfined or --privileged there"
    : undefined;
  if (profile === undefined) return filter;
  const flag = profile.includes(":") ? "label=disable" : "apparmor=unconfined";
  const module = `the profile ${profile} of the host's security module may forbid it: --security-opt ${flag} or --privileged for the container that hako runs in`;
  return errno === "EACCES" ? module : (filter ?? module);
}

/** Why the kernel refuses a call of this process; undefined where no reason is known. */
export function rightsHint(
  { syscall = "", errno, message }: Pick<HakoError, "syscall" | "errno" | "message">,
  confined: Confinement = confinement(),
): string | undefined {
  // the name may be followed by a purpose: "setns (network)"
  const call = syscall.split(" ")[0] as SyscallName;
  const has = (name: CapabilityName) => (confined.capabilities & capabilityBit(name)) !== 0n;
  // the mode of a file does not stop a root that has all capabilities
  const shutOut = errno === "EACCES" && call !== "execve" && confined.root && !has("CAP_DAC_OVERRIDE");
  const capability = shutOut
    ? "CAP_DAC_OVERRIDE"
    : (CAPABILITY_OF[call] ??
      CAPABILITY_FOR.find(([name, what]) => name === call && what.test(message))?.[2]);
  if (capability === undefined) return undefined;
  const short = capability.replace("CAP_", "");
  if (errno === "ENOSYS") return confined.filtered ? hiddenHint(has(capability) ? undefined : short) : OLD;
  if (has(capability)) return confinedHint(confined, errno);
  if (!confined.root)
    return (
      // in a user namespace it has them all, but for a security module
      (capability === "CAP_SYS_ADMIN" ? userNamespaceSwitch() : undefined) ??
      `it takes ${capability}: run as root`
    );
  return lackHint(capability, confined);
}

/** docker's profile allows a call to who has its capability, so that one flag lifts both; but pivot_root(2) to nobody. */
export function lackHint(capability: CapabilityName, { filtered }: Confinement): string {
  const short = capability.replace("CAP_", "");
  const unfiltered = filtered && short === "SYS_ADMIN" ? " with --security-opt seccomp=unconfined," : "";
  return `root lacks ${capability} here, as in a container: --cap-add ${short}${unfiltered} or --privileged there`;
}

const OLD = "hako needs linux 5.12";

/** `lacking` is the capability without which docker's and podman's own profiles hide the call. */
function hiddenHint(lacking: string | undefined): string {
  const hidden =
    "the seccomp filter of the container that hako runs in hides it: --security-opt seccomp=unconfined or --privileged there";
  return lacking === undefined
    ? hidden
    : `${hidden}; docker's and podman's own filters have it with --cap-add ${lacking}`;
}

const REFUSALS: ReadonlySet<ErrnoName> = new Set<ErrnoName>(["EPERM", "EACCES", "ENOSYS"]);

/** Adds to an error of a refused call what this process lacks for it. Other errors, and those with a hint, are returned unchanged. */
export function explainRights(error: HakoError, confined?: Confinement): HakoError {
  let refused: HakoError | undefined;
  for (let each: unknown = error; each instanceof HakoError; each = each.cause) {
    if (each.hint !== undefined) return error;
    if (each.syscall !== undefined && each.errno !== undefined && REFUSALS.has(each.errno)) refused = each;
  }
  const hint = refused === undefined ? undefined : rightsHint(refused, confined);
  if (hint === undefined) return error;
  return error.with({ hint });
}
