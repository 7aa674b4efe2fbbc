import type { ErrnoName } from "../base/errno";
import { HakoError } from "../base/errors";
import { ACCESS } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscall, systemError } from "../linux/call/syscall";
import { type Format, OWN_MACHINE, readFormat } from "../linux/file/executable";
import { checkAccess, hasErrno, linkText } from "../linux/file/file";
import { openToLook } from "../linux/file/path";
import { fileStatusOf, mountStatusOf } from "../linux/file/stat";
import { getLimit } from "../linux/process/rlimit";

/** An interpreter may be a script itself: the kernel follows five of them (fs/exec.c). */
const MAX_INTERPRETERS = 5;

/** What can be seen of a program from outside: enough to say why the kernel refuses to execute it. */
export interface Sight {
  path: string;
  /** Why the file can't be reached or executed; undefined if it can. */
  errno: ErrnoName | undefined;
  directory: boolean;
  /** Permission bits and owner; undefined if the file can't be reached. */
  rights: { mode: number; uid: number } | undefined;
  /** The user that the program would be executed as. */
  user: number | undefined;
  /** The path leads to hako's own program in memory, as /proc/self/exe does until the container's program is executed. */
  own: boolean;
  /** The file lies on a mount with the option noexec. */
  noexec: boolean;
  /** undefined where the file can't be read. */
  format: Format | undefined;
  /** The file that the kernel executes for it: a script's interpreter, or the loader of a program with shared libraries. */
  interpreter: Sight | undefined;
}

/** Where programs are looked at. */
export interface SightPlace {
  /** Opens a file with O_PATH: only to look at it. */
  open(path: string): Fd | undefined;
  /** The format of the program that was found at a path; undefined where it can't be read. */
  format(path: string, found: Fd): Format | undefined;
  /** Why `user` can't reach or execute the file. */
  errno(path: string): ErrnoName | undefined;
  readonly user: number | undefined;
}

const HERE: SightPlace = {
  open: openToLook,
  format: readFormat,
  errno: accessErrno,
  get user() {
    return syscall("geteuid");
  },
};

/** Looks at a program, which may be hostile, and at the interpreter or loader that would execute it. */
export function lookAtProgram(path: string, place = HERE, depth = 0): Sight {
  const sight: Sight = {
    path,
    errno: place.errno(path),
    directory: false,
    rights: undefined,
    user: place.user,
    own: false,
    noexec: false,
    format: undefined,
    interpreter: undefined,
  };
  using file = place.open(path);
  if (file === undefined) return sight;
  const { type, mode, uid, size } = fileStatusOf(file);
  sight.directory = type === "directory";
  sight.rights = { mode, uid };
  sight.own = linkText(file.path).startsWith("/memfd:hako:");
  sight.noexec = mountStatusOf(file).noexec;
  // Opening a device may have an effect, and files of the kernel have no size: neither is opened.
  if (type === "file") sight.format = size === 0 ? { kind: "empty" } : place.format(path, file);
  const name = interpreterOf(sight.format);
  if (name !== undefined && depth < MAX_INTERPRETERS)
    sight.interpreter = lookAtProgram(name, place, depth + 1);
  return sight;
}

function accessErrno(path: string): ErrnoName | undefined {
  try {
    checkAccess(path, ACCESS.X_OK);
    return undefined;
  } catch (error) {
    return error instanceof HakoError ? error.errno : undefined;
  }
}

function interpreterOf(format: Format | undefined): string | undefined {
  if (format?.kind === "script") return format.interpreter === "" ? undefined : format.interpreter;
  return format?.kind === "elf" ? format.loader : undefined;
}

export interface Explanation {
  why?: string | undefined;
  hint?: string | undefined;
}

/** The error of a program that can't be executed, with the code that decides between exit status 127 and 126. */
export function executionError(path: string, errno: number, sight: Sight): HakoError {
  const system = systemError("execve", errno, path);
  const missing = hasErrno(system, "ENOENT", "ENOTDIR");
  const { why, hint } = explainExecution(sight, system.errno);
  return new HakoError({
    code: missing ? "command-not-found" : "command-not-executable",
    message: why === undefined ? system.message : `${system.message}: ${why}`,
    hint,
    syscall: "execve",
    errno: system.errno,
    path,
  });
}

/** Why execve(2) fails with this errno. The caller writes the errno's own text before it, which clients look for. */
export function explainExecution(sight: Sight, errno: ErrnoName | undefined): Explanation {
  switch (errno) {
    case "ENOENT":
    case "ENOTDIR":
      return missingInterpreter(sight);
    case "EACCES":
      return denied(sight);
    case "ENOEXEC":
      return wrongFormat(sight);
    case "ELIBBAD":
      return wrongLoader(sight);
    case "ETXTBSY":
      return {
        why: "somebody has it open for writing",
        hint: "close it there, or write it under another name and rename it",
      };
    case "E2BIG":
      return {
        hint: `a word of args or env is over 128 KiB, or all of them over a quarter of ${stackLimit()}`,
      };
    case "EAGAIN":
      return { hint: "its user has more processes than RLIMIT_NPROC allows" };
    case "ELOOP":
      return { hint: "interpreters of interpreters, or links, in a circle" };
    default:
      return {};
  }
}

function stackLimit(): string {
  const { soft } = getLimit(0, "RLIMIT_STACK");
  return `RLIMIT_STACK, ${soft === 2n ** 64n - 1n ? "which has no limit here" : `${soft} bytes`}`;
}

/** The file exists, but its interpreter or loader does not. */
function missingInterpreter({ path, format, interpreter }: Sight): Explanation {
  if (interpreter === undefined) return {};
  if (interpreter.errno === undefined) return missingInterpreter(interpreter);
  if (interpreter.errno !== "ENOENT" && interpreter.errno !== "ENOTDIR") return {};
  const name = interpreter.path;
  if (format?.kind === "elf")
    return { why: `it needs the loader ${name}, which is not there`, hint: libcHint(name) };
  if (name.endsWith("\r")) {
    return {
      why: `the first line of ${path} ends in a carriage return, so its interpreter is ${JSON.stringify(name)}`,
      hint: `save it with Unix line ends: sed -i 's/\\r$//' ${path}`,
    };
  }
  return {
    why: `${path} is a script for ${name}, which is not there`,
    hint: `install ${name}, or name another one in its first line`,
  };
}

function libcHint(loader: string): string {
  if (loader.includes("ld-musl")) {
    return "a program for musl libc (Alpine) in another image: install musl, or build it for this one or static";
  }
  if (loader.includes("ld-linux")) {
    return "a program for glibc in a musl (Alpine) or empty image: take an image with glibc, or build it for this one or static";
  }
  return "take an image that has it, or build the program static";
}

function denied(sight: Sight): Explanation {
  const { directory, noexec, errno, own, interpreter } = sight;
  // such a path exists only for the process itself, not for who looks from outside
  if (own || errno === "ENOENT") {
    return {
      why: "it leads to the process that shall execute it, which is hako's",
      hint: "/proc/self/exe is hako's until the program runs: name a file of the image",
    };
  }
  if (directory) return { why: "it is a directory" };
  if (noexec) {
    return {
      why: "it is on a mount with the option noexec",
      hint: "mount it without noexec (config /mounts), or keep programs elsewhere",
    };
  }
  if (errno === "EACCES") return notExecutable(sight);
  if (interpreter === undefined || (interpreter.errno === undefined && !interpreter.noexec)) {
    return { hint: "a security module (AppArmor, SELinux) may forbid it: see the kernel's log" };
  }
  const { why, hint } = denied(interpreter);
  return { why: `its interpreter ${interpreter.path}: ${why ?? "can't be executed"}`, hint };
}

/** Why a user may not execute a file: its mode, or that of a directory above it. */
function notExecutable({ rights, user }: Sight): Explanation {
  if (rights === undefined) {
    return { hint: `user ${user} may not search a directory on the way: chmod a+x it` };
  }
  const octal = rights.mode.toString(8).padStart(3, "0");
  return {
    why: `its mode is ${octal}, its owner ${rights.uid}, and user ${user} may not execute it`,
    hint: "chmod a+x it",
  };
}

function wrongFormat(sight: Sight): Explanation {
  const { path, format, interpreter } = sight;
  switch (format?.kind) {
    case "empty":
      return { why: "the file is empty", hint: "was it copied in full?" };
    case "text":
      return {
        why: 'it is text without "#!" in its first line',
        hint: `begin it with "#!/bin/sh", or run it by its interpreter: sh ${path}`,
      };
    case "broken":
      return { why: format.why, hint: "was it copied in full?" };
    case "elf":
      if (!format.foreign) return {};
      return {
        why: `the program is for ${format.machine}, this machine is ${OWN_MACHINE}`,
        hint: `take an image for ${OWN_MACHINE}, or install an emulator (qemu-user-static with binfmt_misc)`,
      };
    case "script": {
      if (interpreter === undefined) return { why: '"#!" in its first line names no interpreter' };
      const { why, hint } = wrongFormat(interpreter);
      return { why: why === undefined ? undefined : `its interpreter ${interpreter.path}: ${why}`, hint };
    }
    default:
      return { why: "it is neither a program of a known format nor a script" };
  }
}

function wrongLoader({ interpreter }: Sight): Explanation {
  if (interpreter?.format?.kind !== "elf" || !interpreter.format.foreign) {
    return { why: `its loader ${interpreter?.path ?? ""} is broken` };
  }
  return {
    why: `its loader ${interpreter.path} is for ${interpreter.format.machine}, not for ${OWN_MACHINE}`,
  };
}
