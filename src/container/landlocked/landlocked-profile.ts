import type { Seccomp } from "../../oci/config";
import { NATIVE } from "../../oci/seccomp-words";
import { defaultProfile } from "../../seccomp/default-profile";

type Rule = NonNullable<Seccomp["syscalls"]>[number];
type Condition = NonNullable<Rule["args"]>[number];

/** Calls that reach what the host shares with the command, and that Landlock knows nothing of: System V IPC and message queues. */
const SHARED = words(`
  ipc mq_open mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`);

/** Calls that change files without opening them for writing, wherever they are (landlock(7), "Current limitations"). */
const ATTRIBUTES = words(`
  chmod chown chown32 fchmod fchmodat fchmodat2 fchown fchown32 fchownat lchown lchown32
  futimesat utime utimensat utimensat_time64 utimes
  fremovexattr fsetxattr lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`);

/** ioctls that do so (linux/fs.h): FS_IOC_SETFLAGS of 64 and of 32 bits, FS_IOC_FSSETXATTR. */
const ATTRIBUTE_IOCTLS = [0x40086602, 0x40046602, 0x401c5820];

/** Calls that act on other processes of the same user, and what they are asked when they are about the caller itself. */
const ABOUT_ITSELF: Readonly<Record<string, Condition[]>> = {
  prlimit64: [equal(0, 0)],
  // PRIO_PROCESS
  setpriority: [equal(0, 0), equal(1, 0)],
};

/** AF_INET, AF_INET6, AF_NETLINK: unix sockets would reach the host's services, and packet sockets all that it sends. */
const NETWORK_FAMILIES = [2, 10, 16];

/** What of the usual profile's a command without namespaces may call. */
export interface ProfileWishes {
  capabilities: readonly string[];
  /** It has the host's network; else no sockets but pairs. */
  network: boolean;
  /** It may change modes, owners, times and attributes of files anywhere. */
  attributes: boolean;
}

/** The profile of a command without namespaces. */
export function landlockedProfile(
  { capabilities, network, attributes }: ProfileWishes,
  native = NATIVE,
): Seccomp {
  const { syscalls = [], ...rest } = defaultProfile(capabilities, native);
  const narrowed = [...Object.keys(ABOUT_ITSELF), "socket", ...(attributes ? [] : ["ioctl"])];
  const taken = new Set([...SHARED, ...narrowed, ...(attributes ? [] : ATTRIBUTES)]);
  const rules = syscalls
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !taken.has(name)) }))
    .filter(({ names }) => names.length > 0);
  return {
    ...rest,
    syscalls: [
      ...rules,
      ...Object.entries(ABOUT_ITSELF).map(([name, args]) => allow(name, args)),
      ...(network ? NETWORK_FAMILIES : []).map((family) => allow("socket", [equal(0, family)])),
      ...(attributes ? [] : allBut(ATTRIBUTE_IOCTLS)).map((number) => allow("ioctl", [number])),
    ],
  };
}

function allow(name: string, args: Condition[]): Rule {
  return { names: [name], action: "SCMP_ACT_ALLOW", args };
}

/** The kernel looks at 32 bits of these arguments. */
function equal(index: number, value: number, mask = 0xffffffff): Condition {
  return { index, op: "SCMP_CMP_MASKED_EQ", value: mask, valueTwo: value };
}

/** Conditions on the number of an ioctl, of which one holds for each but these: by the first bits, down from `bit`, that none of them has. */
function allBut(numbers: readonly number[], bit = 31, before = 0): Condition[] {
  if (bit < 0) return [];
  const mask = (0xffffffff << bit) >>> 0;
  return [0, 1].flatMap((value) => {
    const first = (before | (value << bit)) >>> 0;
    const some = numbers.filter((number) => (number & mask) >>> 0 === first);
    return some.length === 0 ? [equal(1, first, mask)] : allBut(some, bit - 1, first);
  });
}

function words(text: string): string[] {
  return text.split(/\s+/).filter((word) => word !== "");
}
