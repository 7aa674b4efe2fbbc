import { O, SIZE } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { syscallOn } from "../linux/call/syscall";
import { hasErrno } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { join } from "../linux/file/path-text";
import type { Ending } from "../linux/process/process";
import type { ContainerId } from "../oci/id";
import { containerDirectory, PROGRAM_END } from "./root";

/**
 * How the program ended, in a page of a file in the container's directory, which a first process of hako's has mapped. That process can't die of
 * the signal that the program died of: the kernel keeps the first process of a pid namespace from its own signals (pid_namespaces(7)).
 */
export const PROGRAM_END_AT = {
  /** si_code of waitid(2), written last: 0 until the program has ended. */
  how: 0,
  /** The exit status, or the signal that ended the program. */
  status: 8,
  /** When: a struct timespec of CLOCK_REALTIME, and one of CLOCK_MONOTONIC. */
  time: 16,
  clock: 32,
} as const;
const LENGTH = 48;
/** si_code of waitid(2). */
export const CLD_EXITED = 1;
const CLD_DUMPED = 3;

/** The program's end, with its time by RFC 3339. */
export interface ProgramEnd extends Ending {
  finished: string;
  /** As `monotonicMs`. */
  clock: number;
}

/** Makes the file, for a container that is being made. */
export function makeProgramEnd(root: string, id: ContainerId): Fd {
  const flags = O.RDWR | O.CREAT | O.EXCL | O.CLOEXEC;
  const file = openAt(undefined, join(containerDirectory(root, id), PROGRAM_END), flags, 0o600);
  try {
    syscallOn(PROGRAM_END, "ftruncate", file.number, SIZE.PAGE);
    return file;
  } catch (error) {
    file.close();
    throw error;
  }
}

/** The file of a container that has one. */
export function openProgramEnd(root: string, id: ContainerId): Fd | undefined {
  try {
    return openAt(undefined, join(containerDirectory(root, id), PROGRAM_END), O.RDONLY | O.CLOEXEC);
  } catch (error) {
    if (hasErrno(error, "ENOENT", "ENOTDIR")) return undefined;
    throw error;
  }
}

/** What the file says; undefined while the program runs, and where its first process was killed before it could tell. */
export function toldProgramEnd(file: Fd): ProgramEnd | undefined {
  const words = new BigInt64Array(LENGTH / 8);
  const length = syscallOn(PROGRAM_END, "pread64", file.number, words, LENGTH, 0);
  const at = (offset: number) => Number(words[offset / 8]);
  const how = at(PROGRAM_END_AT.how);
  if (length < LENGTH || how < CLD_EXITED || how > CLD_DUMPED) return undefined;
  // who may trace the first process could have written it
  const status = at(PROGRAM_END_AT.status) & 0xff;
  const milliseconds = (offset: number) => 1000 * at(offset) + at(offset + 8) / 1e6;
  const end = new Date(milliseconds(PROGRAM_END_AT.time));
  if (Number.isNaN(end.getTime())) return undefined;
  const finished = end.toISOString();
  const time = { finished, clock: milliseconds(PROGRAM_END_AT.clock) };
  if (how === CLD_EXITED) return { status, signal: undefined, ...time };
  return { status: 128 + status, signal: status, ...time };
}

/** The program's end as a container's first process has told it. */
export function programEnd(root: string, id: ContainerId): ProgramEnd | undefined {
  using file = openProgramEnd(root, id);
  return file && toldProgramEnd(file);
}
