import { dlopen, type FFIFunction, FFIType as T } from "bun:ffi";

/**
 * The libc functions that hako calls, each with its C signature. `syscall` serves every call that has no libc
 * function of its own; its arguments are 64 bits wide whatever they mean. Pointers are passed as numbers or buffers.
 */
const SIGNATURES = {
  __errno_location: { args: [], returns: T.ptr },
  syscall: {
    args: [T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast, T.i64_fast],
    returns: T.i32,
  },
  mmap: { args: [T.ptr, T.u64_fast, T.i32, T.i32, T.i32, T.i64_fast], returns: T.ptr },
  statfs: { args: [T.ptr, T.ptr], returns: T.i32 },
  fstatfs: { args: [T.i32, T.ptr], returns: T.i32 },
  setns: { args: [T.i32, T.i32], returns: T.i32 },
  unshare: { args: [T.i32], returns: T.i32 },
  socket: { args: [T.i32, T.i32, T.i32], returns: T.i32 },
  socketpair: { args: [T.i32, T.i32, T.i32, T.ptr], returns: T.i32 },
  bind: { args: [T.i32, T.ptr, T.u32], returns: T.i32 },
  listen: { args: [T.i32, T.i32], returns: T.i32 },
  accept4: { args: [T.i32, T.ptr, T.ptr, T.i32], returns: T.i32 },
  connect: { args: [T.i32, T.ptr, T.u32], returns: T.i32 },
  sendmsg: { args: [T.i32, T.ptr, T.i32], returns: T.i64_fast },
  recvmsg: { args: [T.i32, T.ptr, T.i32], returns: T.i64_fast },
  posix_openpt: { args: [T.i32], returns: T.i32 },
  grantpt: { args: [T.i32], returns: T.i32 },
  unlockpt: { args: [T.i32], returns: T.i32 },
  ptsname_r: { args: [T.i32, T.ptr, T.u64_fast], returns: T.i32 },
  tcgetattr: { args: [T.i32, T.ptr], returns: T.i32 },
  tcsetattr: { args: [T.i32, T.i32, T.ptr], returns: T.i32 },
} as const satisfies Record<string, FFIFunction>;

export type LibcFunction = keyof typeof SIGNATURES;
/** A pointer, an address or a number; buffers stay alive during the call because the caller holds them. */
export type LibcArgument = number | bigint | ArrayBufferView | null;
type Bound = (...args: LibcArgument[]) => number;

/** build.ts says which libc an executable is built for; it is loaded already, so no file is looked for. */
const MUSL = process.arch === "arm64" ? "/lib/ld-musl-aarch64.so.1" : "/lib/ld-musl-x86_64.so.1";
const LIBRARY = process.env.HAKO_LIBC === "musl" ? MUSL : "libc.so.6";
const bound = new Map<LibcFunction, Bound>();

/** What every other call needs too; bound together, since each dlopen costs some 100 µs. */
const ALWAYS = ["syscall", "__errno_location"] as const;

function bind(names: readonly LibcFunction[]): void {
  const wanted = Object.fromEntries(names.map((name) => [name, SIGNATURES[name]]));
  const symbols = dlopen(LIBRARY, wanted).symbols as Record<string, unknown>;
  for (const name of names) bound.set(name, symbols[name] as Bound);
}

/** A libc function, bound at its first use: nobody pays for what it doesn't call. */
export function libc(name: LibcFunction): Bound {
  if (bound.size === 0) bind(ALWAYS);
  if (!bound.has(name)) bind([name]);
  const found = bound.get(name);
  if (found === undefined) throw new Error(`libc has no ${name}`);
  return found;
}
