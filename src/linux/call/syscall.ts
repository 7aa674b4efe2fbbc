import { read } from "bun:ffi";
import { HakoError } from "../../base/errors";
import { currentActor } from "./actor";
import { type ErrnoName, errnoName, errnoNumber, errnoText } from "../../base/errno";
import { systemHint } from "./hints";
import { type LibcArgument, type LibcFunction, libc } from "./libc";
import { address, cString, isPointing, type Memory, ownAddress, placedText } from "./memory";

/** Numbers of the system calls that hako makes directly: x86-64, arm64 (arch/x86/entry/syscalls, asm-generic/unistd.h). */
const NUMBERS = {
  read: [0, 63],
  write: [1, 64],
  close: [3, 57],
  statfs: [137, 43],
  fstatfs: [138, 44],
  pread64: [17, 67],
  pwrite64: [18, 68],
  lseek: [8, 62],
  ftruncate: [77, 46],
  mmap: [9, 222],
  mprotect: [10, 226],
  madvise: [28, 233],
  ioctl: [16, 29],
  dup: [32, 23],
  dup3: [292, 24],
  pipe2: [293, 59],
  getpid: [39, 172],
  getppid: [110, 173],
  getpgid: [121, 155],
  geteuid: [107, 175],
  futex: [202, 98],
  kill: [62, 129],
  fcntl: [72, 25],
  fchdir: [81, 50],
  chdir: [80, 49],
  getcwd: [79, 17],
  umask: [95, 166],
  prctl: [157, 167],
  setsid: [112, 157],
  socket: [41, 198],
  connect: [42, 203],
  bind: [49, 200],
  listen: [50, 201],
  socketpair: [53, 199],
  accept4: [288, 242],
  recvmsg: [47, 212],
  setgroups: [116, 159],
  setresuid: [117, 147],
  setresgid: [119, 149],
  capget: [125, 90],
  capset: [126, 91],
  personality: [135, 92],
  pivot_root: [155, 41],
  chroot: [161, 51],
  sethostname: [170, 161],
  setdomainname: [171, 162],
  mount: [165, 40],
  umount2: [166, 39],
  rt_sigaction: [13, 134],
  rt_sigprocmask: [14, 135],
  signalfd4: [289, 74],
  wait4: [61, 260],
  waitid: [247, 95],
  execve: [59, 221],
  exit_group: [231, 94],
  openat: [257, 56],
  mkdirat: [258, 34],
  mknodat: [259, 33],
  fchownat: [260, 54],
  unlinkat: [263, 35],
  symlinkat: [266, 36],
  renameat2: [316, 276],
  faccessat2: [439, 439],
  getdents64: [217, 61],
  readlinkat: [267, 78],
  fchmodat: [268, 53],
  fchmod: [91, 52],
  fchown: [93, 55],
  ppoll: [271, 73],
  unshare: [272, 97],
  utimensat: [280, 88],
  eventfd2: [290, 19],
  sched_setaffinity: [203, 122],
  sched_setattr: [314, 274],
  ioprio_set: [251, 30],
  set_mempolicy: [238, 237],
  seccomp: [317, 277],
  sendfile: [40, 71],
  sendmsg: [46, 211],
  sendmmsg: [307, 269],
  sendto: [44, 206],
  prlimit64: [302, 261],
  setns: [308, 268],
  memfd_create: [319, 279],
  bpf: [321, 280],
  execveat: [322, 281],
  keyctl: [250, 219],
  add_key: [248, 217],
  flock: [73, 32],
  statx: [332, 291],
  close_range: [436, 436],
  pidfd_send_signal: [424, 424],
  open_tree: [428, 428],
  move_mount: [429, 429],
  fsopen: [430, 430],
  fsconfig: [431, 431],
  fsmount: [432, 432],
  pidfd_open: [434, 434],
  clone: [56, 220],
  clone3: [435, 435],
  openat2: [437, 437],
  mount_setattr: [442, 442],
} as const satisfies Record<string, readonly [number, number]>;

export type SyscallName = keyof typeof NUMBERS;
/** An argument: a number, a path or text (passed NUL-terminated), memory, or null. */
export type SyscallArgument = number | bigint | string | Memory | null;

const COLUMN = process.arch === "arm64" ? 1 : 0;
const EINTR = 4;

/** The number of a system call on this CPU. */
export function syscallNumber(name: SyscallName): number {
  return NUMBERS[name][COLUMN];
}

/** The number of a system call on a given CPU: tests run another one's code under an emulator. */
export function syscallNumberOn(machine: string, name: SyscallName): number {
  return NUMBERS[name][machine === "arm64" ? 1 : 0];
}

let errnoAddress = 0;

/** errno of this thread's last failed call. */
export function lastErrno(): number {
  // one thread makes all calls: where its errno lies does not change
  if (errnoAddress === 0) errnoAddress = libc("__errno_location")();
  return read.i32(errnoAddress as never, 0);
}

/** The memory of the call that is being made, or was last: as long as it is named here, it stays. */
const held: Memory[] = [];
/** How many texts the call that is being made has so far. */
let texts = 0;

/** An argument that is no number as the kernel takes it. */
function word(argument: Exclude<SyscallArgument, number> | undefined): number | bigint {
  if (argument === undefined || argument === null) return 0;
  if (typeof argument === "bigint") return argument;
  if (typeof argument === "string") {
    const placed = placedText(texts++, argument);
    if (placed !== undefined) return placed;
  }
  const memory = typeof argument === "string" ? cString(argument) : argument;
  held.push(memory);
  return isPointing(memory) ? ownAddress(memory) : address(memory);
}

function raw(name: SyscallName, args: readonly SyscallArgument[]): number {
  const actor = currentActor();
  return actor === undefined ? made(name, args) : actor.call(name, args);
}

let call: ReturnType<typeof libc> | undefined;

/**
 * Without a loop over the arguments, and closures: they cost an interpreter more than many a system call. So does a look past
 * the end of a list, and a function that gives a number back as it is.
 */
function made(name: SyscallName, args: readonly SyscallArgument[]): number {
  call ??= libc("syscall");
  texts = 0;
  if (held.length > 0) held.length = 0;
  const count = args.length;
  const first = count > 0 ? args[0] : 0;
  const second = count > 1 ? args[1] : 0;
  const third = count > 2 ? args[2] : 0;
  const fourth = count > 3 ? args[3] : 0;
  const fifth = count > 4 ? args[4] : 0;
  const sixth = count > 5 ? args[5] : 0;
  const a = typeof first === "number" ? first : word(first);
  const b = typeof second === "number" ? second : word(second);
  const c = typeof third === "number" ? third : word(third);
  const d = typeof fourth === "number" ? fourth : word(fourth);
  const e = typeof fifth === "number" ? fifth : word(fifth);
  const f = typeof sixth === "number" ? sixth : word(sixth);
  const number = syscallNumber(name);
  for (;;) {
    const result = call(number, a, b, c, d, e, f);
    if (result !== -1) return result;
    const errno = lastErrno();
    if (errno !== EINTR) return -errno;
  }
}

/** Makes a system call, again after EINTR; returns its result, or -errno when it failed. The result is 32 bits wide. */
export function trySyscall(name: SyscallName, ...args: SyscallArgument[]): number {
  return raw(name, args);
}

/** `trySyscall` by this thread, also while another process acts for it (see actor.ts). */
export function trySyscallHere(name: SyscallName, ...args: SyscallArgument[]): number {
  return made(name, args);
}

/** Makes a system call that must succeed; `path` is what the error names. */
export function syscallOn(path: string | undefined, name: SyscallName, ...args: SyscallArgument[]): number {
  const result = raw(name, args);
  if (result < 0) throw systemError(name, -result, path);
  return result;
}

/** Makes a system call that must succeed. */
export function syscall(name: SyscallName, ...args: SyscallArgument[]): number {
  return syscallOn(undefined, name, ...args);
}

/** libc functions that return -1 and errno on failure, and are the system call of their name. */
type SystemFunction = Exclude<LibcFunction, "__errno_location" | "syscall" | "mmap" | "posix_openpt"> &
  SyscallName;

/** What a libc function is given: memory is passed by its address. */
type Given = LibcArgument | Memory;

/** Calls a function of libc, again after EINTR; its result or -errno. While another process acts, that one makes the system call. */
export function tryLibc(name: SystemFunction, ...args: Given[]): number {
  const actor = currentActor();
  return actor === undefined ? tryLibcHere(name, ...args) : actor.call(name, args);
}

/** `tryLibc` for any function of libc, by this thread: what is no system call, no other process can make for it. */
export function tryLibcHere(name: LibcFunction, ...args: Given[]): number {
  const call = libc(name);
  const words = args.map((given) =>
    given !== null && typeof given === "object" && isPointing(given) ? ownAddress(given) : given,
  );
  for (;;) {
    const result = Number(call(...words));
    if (result !== -1) return result;
    const errno = lastErrno();
    if (errno !== EINTR) return -errno;
  }
}

/** As `tryLibc`, for a call that must succeed. */
export function callLibc(path: string | undefined, name: SystemFunction, ...args: Given[]): number {
  const result = tryLibc(name, ...args);
  if (result < 0) throw systemError(name, -result, path);
  return result;
}

/** The error of a failed call: "openat2 /x: no such file or directory". */
export function systemError(
  call: string,
  errno: number | ErrnoName,
  path?: string,
  hint?: string,
): HakoError {
  const value = typeof errno === "number" ? errno : errnoNumber(errno);
  const on = path === undefined ? "" : ` ${path}`;
  const name = errnoName(value);
  return new HakoError({
    code: "system",
    message: `${call}${on}: ${errnoText(value)}`,
    hint: hint ?? systemHint(call, name),
    syscall: call,
    errno: name,
    path,
  });
}
