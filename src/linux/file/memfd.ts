import { errnoName } from "../../base/errno";
import { prepared } from "../../base/undo";
import { F } from "../call/constants";
import { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { syscall, syscallOn, systemError, trySyscall } from "../call/syscall";
import { perform } from "../call/walk";
import { fileStatusOf } from "./stat";

const MFD_CLOEXEC = 0x1;
const MFD_ALLOW_SEALING = 0x2;
const MFD_NOEXEC_SEAL = 0x8;
const MFD_EXEC = 0x10;
/** F_SEAL_SEAL, SHRINK, GROW */
const SIZE_SEALS = 7;
/** F_SEAL_SEAL, SHRINK, GROW, WRITE */
const ALL_SEALS = 15;

/** A file of no file system that can be executed, with what `write` puts there and nothing else ever (memfd_create(2)). */
export function sealedProgram(name: string, write: (file: Fd) => void): Fd {
  return prepared(create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING, MFD_EXEC), (file) => {
    write(file);
    syscallOn(name, "fcntl", file.number, F.ADD_SEALS, ALL_SEALS);
  });
}

/**
 * Takes the right to execute a program of hako's from everybody; processes that have executed it go on. In a container it has a
 * name: /proc/self/exe of the process that waits to execute the container's program.
 */
export function forbidExecution(program: Fd): void {
  perform([forbidStep(program)]);
}

/** `forbidExecution` as a step. */
export function forbidStep(program: Fd): Step {
  return { what: `${program.name}: fchmod`, call: "fchmod", args: [program.number, 0] };
}

/** A file of no file system, for what a program writes that need not be read while it runs. */
export function memoryFile(name: string): Fd {
  return create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING, MFD_NOEXEC_SEAL);
}

/** Fixes the size of a file: whoever maps a file is killed (SIGBUS) for a read behind its end, should somebody shorten it. */
export function sealSize(file: Fd): void {
  syscallOn(file.name, "fcntl", file.number, F.ADD_SEALS, SIZE_SEALS);
}

/** Whether a file has this size for ever. */
export function hasSealedSize(file: Fd, size: number): boolean {
  const seals = trySyscall("fcntl", file.number, F.GET_SEALS, 0);
  return seals >= 0 && (seals & SIZE_SEALS) === SIZE_SEALS && fileStatusOf(file).size === size;
}

/** `kind` says whether it may be executed. */
function create(name: string, flags: number, kind: number): Fd {
  const opened = trySyscall("memfd_create", name, flags | kind);
  if (opened >= 0) return new Fd(opened, name);
  // before Linux 6.3 there was one kind
  if (errnoName(-opened) === "EINVAL") return new Fd(syscall("memfd_create", name, flags), name);
  throw systemError("memfd_create", -opened, name, "sysctl vm.memfd_noexec must be 0 or 1");
}
