import { read } from "bun:ffi";
import { type ErrnoName, errnoName, errnoNumber, errnoText } from "../../base/errno";
import { systemCallHint } from "../../base/errno-hints";
import { HakoError } from "../../base/errors";
import { currentActor } from "./actor";
import { address, cString, isPointing, type Memory, ownAddress, placedText } from "./argument-memory";
import { type LibcArgument, type LibcFunction, libc } from "./libc";
import type { SyscallArgument } from "./step";
import { type SyscallName, syscallNumber } from "./syscall-numbers";

const EINTR = 4;

let errnoAddress = 0;

/** errno of this thread's last failed call. */
export function lastErrno(): number {
  // one thread makes all calls: where its errno lies does not change
  if (errnoAddress === 0) errnoAddress = libc("__errno_location")();
  return read.i32(errnoAddress as never, 0);
}

/**
 * The memory of the call that is being made, or of the last one: named here, it is not collected before the kernel has read it.
 */
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
 * Makes a system call by this thread. The arguments are written out one by one: loops, closures, reads past the end of a list
 * and functions that only hand a number on cost an interpreter more than many a system call does.
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

/** `tryLibc` by this thread, for any function of libc: another process can make nothing but system calls. */
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
    hint: hint ?? systemCallHint(call, name),
    syscall: call,
    errno: name,
    path,
  });
}
