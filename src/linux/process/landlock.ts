import { F, O } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall, trySyscallHere } from "../call/syscall";
import { fileStatusOf } from "../file/stat";

/**
 * Landlock (landlock(7), include/uapi/linux/landlock.h): a process restricts itself and its children, without any rights. What a ruleset handles
 * is forbidden but where a rule allows it. Kernels know more or less of it, by an ABI number.
 */

const CREATE_RULESET_VERSION = 1;
const RULE_PATH_BENEATH = 1;

/** LANDLOCK_ACCESS_FS_*: bits. */
export const ACCESS_FS = {
  EXECUTE: 1 << 0,
  WRITE_FILE: 1 << 1,
  READ_FILE: 1 << 2,
  READ_DIR: 1 << 3,
  REMOVE_DIR: 1 << 4,
  REMOVE_FILE: 1 << 5,
  MAKE_CHAR: 1 << 6,
  MAKE_DIR: 1 << 7,
  MAKE_REG: 1 << 8,
  MAKE_SOCK: 1 << 9,
  MAKE_FIFO: 1 << 10,
  MAKE_BLOCK: 1 << 11,
  MAKE_SYM: 1 << 12,
  REFER: 1 << 13,
  TRUNCATE: 1 << 14,
  IOCTL_DEV: 1 << 15,
} as const;

/** LANDLOCK_SCOPE_*: what is kept from reaching out of the domain. */
const SCOPE = { ABSTRACT_UNIX_SOCKET: 1, SIGNAL: 2 } as const;
/** LANDLOCK_ACCESS_NET_* */
const ACCESS_NET = { BIND_TCP: 1, CONNECT_TCP: 2 } as const;

/** The first ABI that knows of each of these. */
const SINCE = { refer: 2, truncate: 3, network: 4, devices: 5, scopes: 6 } as const;

/** What applies to files that are no directories; the kernel refuses other rights for them. */
const OF_FILES =
  ACCESS_FS.EXECUTE | ACCESS_FS.WRITE_FILE | ACCESS_FS.READ_FILE | ACCESS_FS.TRUNCATE | ACCESS_FS.IOCTL_DEV;

export const READ = ACCESS_FS.EXECUTE | ACCESS_FS.READ_FILE | ACCESS_FS.READ_DIR;
export const ALL = 2 * ACCESS_FS.IOCTL_DEV - 1;

let known: number | undefined;

/** The ABI of this kernel's Landlock; 0 where it has none, or where that is switched off. */
export function landlockAbi(): number {
  known ??= Math.max(0, trySyscallHere("landlock_create_ruleset", 0, 0, CREATE_RULESET_VERSION));
  return known;
}

/** The rights over files that an ABI knows. */
export function handledAccess(abi = landlockAbi()): number {
  let handled = ALL;
  if (abi < SINCE.devices) handled &= ~ACCESS_FS.IOCTL_DEV;
  if (abi < SINCE.truncate) handled &= ~ACCESS_FS.TRUNCATE;
  // without it all moves between directories are forbidden
  if (abi < SINCE.refer) handled &= ~ACCESS_FS.REFER;
  return handled;
}

/** What a process may open, and what of the rest it may not reach. */
export interface LandlockPlan {
  /** Whether TCP is forbidden, where the ABI knows of it. */
  network: boolean;
  /** Whether signals and abstract sockets don't leave the domain, where the ABI knows of them. */
  scoped: boolean;
  /** Of that ABI, which the kernel has; undefined: its newest. */
  abi?: number | undefined;
}

/** What a process may do with what it has open, and with all below that. */
export interface AllowedDescriptor {
  number: number;
  access: number;
  isDirectory: boolean;
}

/**
 * Descriptors of this process's caller that a program gets, and whose files it can open again, by /dev/stdin and its like: standard streams, in
 * whose place it may have a terminal, and further ones from 3 on. Pipes, sockets and files that are nowhere (memfd_create(2)) need no rule.
 */
export function openedAgain(preserveFds: number, terminal = false): AllowedDescriptor[] {
  const numbers = Array.from({ length: 3 + preserveFds }, (_, index) => index);
  return numbers.slice(terminal ? 3 : 0).flatMap((number) => {
    const opened = new Fd(number, `descriptor ${number}`);
    const { type } = fileStatusOf(opened);
    opened.release();
    if (!["file", "character", "block", "directory"].includes(type)) return [];
    const mode = syscall("fcntl", number, F.GETFL, 0) & O.ACCMODE;
    const { READ_FILE, WRITE_FILE, TRUNCATE, IOCTL_DEV } = ACCESS_FS;
    const read = mode === O.WRONLY ? 0 : READ_FILE;
    const write = mode === O.RDONLY ? 0 : WRITE_FILE | TRUNCATE;
    const isDirectory = type === "directory";
    return { number, access: isDirectory ? ALL : read | write | IOCTL_DEV, isDirectory };
  });
}

/** A step of a rule for what has no place in a file system: the kernel knows none for it (EBADFD). */
export function ifItHasAPlace(step: Step): Step {
  return { ...step, success: "anything" };
}

/** A ruleset, to which rules are added before a process restricts itself by it. */
export class Ruleset implements Disposable {
  readonly #fd: Fd;
  readonly #handled: number;

  constructor({ network, scoped, abi = landlockAbi() }: LandlockPlan) {
    this.#handled = handledAccess(abi);
    /** struct landlock_ruleset_attr; what an older kernel doesn't know of must be zero. */
    const attributes = new BigUint64Array([
      BigInt(this.#handled),
      network && abi >= SINCE.network ? BigInt(ACCESS_NET.BIND_TCP | ACCESS_NET.CONNECT_TCP) : 0n,
      scoped && abi >= SINCE.scopes ? BigInt(SCOPE.ABSTRACT_UNIX_SOCKET | SCOPE.SIGNAL) : 0n,
    ]);
    this.#fd = new Fd(syscall("landlock_create_ruleset", attributes, attributes.byteLength, 0), "ruleset");
  }

  /** Allows rights over a file, or over all that is below a directory, by its descriptor. */
  allowSteps({ number, access, isDirectory }: AllowedDescriptor): Step[] {
    const allowed = access & this.#handled & (isDirectory ? ALL : OF_FILES);
    if (allowed === 0) return [];
    /** struct landlock_path_beneath_attr, which is packed. */
    const rule = new DataView(new ArrayBuffer(12));
    rule.setBigUint64(0, BigInt(allowed), true);
    rule.setInt32(8, number, true);
    const args = [this.#fd.number, RULE_PATH_BENEATH, rule, 0];
    return [{ what: "landlock_add_rule", call: "landlock_add_rule", args }];
  }

  /** For a process that is to have it. */
  get fd(): Fd {
    return this.#fd;
  }

  /** The process restricts itself, with no_new_privs or CAP_SYS_ADMIN. */
  get restrictStep(): Step {
    return {
      what: "landlock_restrict_self",
      call: "landlock_restrict_self",
      args: [this.#fd.number, 0],
    };
  }

  /** Leaves it to the process that acts, which closes it when it executes a program. */
  release(): void {
    this.#fd.release();
  }

  [Symbol.dispose](): void {
    this.#fd.close();
  }
}

/** What Landlock forbids: mounts, and to trace what is outside of the domain (landlock(7), "Ptrace restrictions"). */
const FORBIDDEN_RIGHTS = ["CAP_SYS_ADMIN", "CAP_SYS_PTRACE"];

/** Whether Landlock takes none of these rights away. */
export function goesWithLandlock(capabilities: readonly string[]): boolean {
  return !FORBIDDEN_RIGHTS.some((name) => capabilities.includes(name));
}

/** Whether this ABI can let files be moved between directories: before it that is forbidden to every process under Landlock. */
export function letsFilesMove(abi = landlockAbi()): boolean {
  return abi >= SINCE.refer;
}

/** Whether processes of this ABI can't signal others outside of the domain. */
export function scopesSignals(abi = landlockAbi()): boolean {
  return abi >= SINCE.scopes;
}

/** Whether this ABI keeps from files what is needed for them to be only read: before it truncate(2) is free. */
export function keepsFiles(abi = landlockAbi()): boolean {
  return abi >= SINCE.truncate;
}
