import { dlopen, type FFIFunction, FFIType as T } from "bun:ffi";
import { HakoError } from "../../base/errors";

/** Set by build.ts. */
declare const HAKO_LIBC: "glibc" | "musl" | undefined;

/**
 * The libc functions that hako calls, each with its C signature. `syscall` serves every call that has no function here; its
 * arguments are 64 bits wide whatever they mean. Pointers are passed as numbers or buffers.
 */
const SIGNATURES = {
  __errno_location: { args: [], returns: T.ptr },
  syscall: {
    args: [T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast],
    returns: T.i32,
  },
  statfs: { args: [T.ptr, T.ptr], returns: T.i32 },
  setns: { args: [T.i32, T.i32], returns: T.i32 },
  sendmsg: { args: [T.i32, T.ptr, T.i32], returns: T.i64_fast },
  posix_openpt: { args: [T.i32], returns: T.i32 },
  // an address, or -1: as a pointer that would be 2^64, and be used
  mmap: { args: [T.ptr, T.u64_fast, T.i32, T.i32, T.i32, T.i64_fast], returns: T.i64_fast },
} as const satisfies Record<string, FFIFunction>;

export type LibcFunction = keyof typeof SIGNATURES;
/** A pointer, an address or a number; buffers stay alive during the call because the caller holds them. */
export type LibcArgument = number | bigint | ArrayBufferView | null;
type Bound = (...args: LibcArgument[]) => number;

/** build.ts says which libc an executable is built for; it is loaded already, so no file is looked for. */
const MUSL = process.arch === "arm64" ? "/lib/ld-musl-aarch64.so.1" : "/lib/ld-musl-x86_64.so.1";
const LIBRARY = typeof HAKO_LIBC !== "undefined" && HAKO_LIBC === "musl" ? MUSL : "libc.so.6";
let bound: Readonly<Record<LibcFunction, Bound>> | undefined;

/**
 * A libc function. All are bound at the first call, once: a later dlopen could happen inside a container's root file system,
 * and musl's would load what lies at libc's path there.
 */
export function libc(name: LibcFunction): Bound {
  bound ??= bind();
  return bound[name];
}

function bind(): Readonly<Record<LibcFunction, Bound>> {
  try {
    return dlopen(LIBRARY, SIGNATURES).symbols as unknown as Record<LibcFunction, Bound>;
  } catch (cause) {
    throw new HakoError({
      code: "system",
      message: "libc can't be called",
      hint: "hako needs executable memory: MemoryDenyWriteExecute= of a systemd unit, SELinux (execmem), or a limit of memory (ulimit -v below 600000) denies it",
      cause,
    });
  }
}
