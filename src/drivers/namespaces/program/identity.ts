import { type ErrnoName, errnoName } from "../../../base/errno";
import { errnoHint } from "../../../base/errno-hints";
import { HakoError } from "../../../base/errors";
import { textOf } from "../../../linux/call/bytes";
import { AT, LIMIT, O, RESOLVE } from "../../../linux/call/constants";
import { Fd } from "../../../linux/call/fd";
import type { Step } from "../../../linux/call/step";
import { trySyscall } from "../../../linux/call/syscall";
import { perform, stepError, walkSteps } from "../../../linux/call/walk";
import { readAtMost } from "../../../linux/file/file";
import { homeInPasswd } from "../../../linux/file/passwd";
import { openAt } from "../../../linux/file/path";
import { fileStatusOf } from "../../../linux/file/stat";
import {
  boundingSteps,
  type CapabilityMasks,
  capabilityMask,
  capabilitySteps,
  rootCapabilities,
  SETGID,
  ungrantedCapabilities,
} from "../../../linux/process/capabilities";
import { identitySteps, noNewPrivilegesStep } from "../../../linux/process/credentials";
import type { Process } from "../../../oci/config";
import { logWarning } from "../../../output/log";

const DEFAULT_UMASK = 0o022;
const MAX_PASSWD = 1 << 24;
const NULL_DEVICE = [1, 3] as const;
/** A group that chown(2) leaves as it is. */
const UNCHANGED = 0xffffffff;
const DENIED: readonly ErrnoName[] = ["EACCES", "EPERM"];
/** How errors begin that are about the working directory. */
export const CWD = "config /process/cwd";

/** The capability sets of config.json, a missing one empty, and the names in them that are unknown here. */
function masksOf(process: Process): { masks: CapabilityMasks; unknown: Set<string> } {
  const unknown = new Set<string>();
  const mask = (names: readonly string[] | undefined) =>
    capabilityMask(names ?? [], (name) => unknown.add(name));
  const sets = process.capabilities;
  const masks = {
    bounding: mask(sets?.bounding),
    effective: mask(sets?.effective),
    permitted: mask(sets?.permitted),
    inheritable: mask(sets?.inheritable),
    ambient: mask(sets?.ambient),
  };
  return { masks, unknown };
}

/** How a process becomes the program's user; in the order of the parts. */
export interface Identity {
  /** With the rights that it has. */
  before: Step[];
  /** From here on it can do no more than the program, but for the capabilities that are kept. */
  user: Step[];
  capabilities: Step[];
  /** Takes the capabilities away that were kept. */
  last: Step;
}

export interface IdentityOptions {
  /** The capabilities that it has, and those that it needs to the end. */
  have: bigint;
  kept: bigint;
  /** It stays in the caller's groups. */
  keepsGroups: boolean;
}

/** How a process becomes who it shall be. */
export function identityOf(process: Process, { have, kept, keepsGroups }: IdentityOptions): Identity {
  const { uid, gid, umask, additionalGids } = process.user;
  const { masks, unknown } = masksOf(process);
  if (unknown.size > 0)
    logWarning(`config /process/capabilities: unknown here and left out: ${[...unknown].join(", ")}`);
  const byItself = uid === 0 ? rootCapabilities(masks, process.noNewPrivileges === true) : 0n;
  for (const { why, names } of ungrantedCapabilities(masks, have, byItself)) {
    logWarning(`config /process/capabilities: left out, as ${why}: ${names.join(", ")}`);
  }
  const { steps: capabilities, last } = capabilitySteps(masks, have, kept);
  return {
    before: [
      ...(process.noNewPrivileges === true ? [noNewPrivilegesStep()] : []),
      { what: "umask", call: "umask", args: [Number(umask ?? DEFAULT_UMASK)] },
      ...boundingSteps(masks.bounding),
    ],
    user: identitySteps(uid, gid, keepsGroups ? undefined : (additionalGids ?? []), (have & SETGID) !== 0n),
    capabilities,
    last,
  };
}

/** The last step of such an identity alone, and without warnings: what is left out was told when the container was made. */
export function lastCapabilityStep(process: Process, have: bigint, kept: bigint): Step {
  return capabilitySteps(masksOf(process).masks, have, kept).last;
}

/**
 * Becomes the program's user with its capabilities, in its working directory; what is returned takes the capabilities of
 * `kept` away. `first` comes before, and `after` right behind it.
 */
export function takeIdentity(
  process: Process,
  options: IdentityOptions,
  first: readonly Step[],
  after: readonly Step[],
): Step {
  const { cwd, user } = process;
  const identity = identityOf(process, options);
  const before = [...first, ...identity.before];
  // As root first: the user may have no right to search the way there. Or only the user has: then after.
  const steps = [...before, enterStep(cwd, 0), ...identity.user, ...identity.capabilities, ...after];
  const walk = walkSteps(steps);
  const failed = steps[walk[0]];
  if (failed !== undefined) {
    const denied = walk[0] === before.length && DENIED.includes(errnoName(-walk[1]));
    if (!denied) throw stepError(steps, walk);
    perform([...identity.user, enterStep(cwd, user.uid), ...identity.capabilities, ...after]);
  }
  checkDirectory(cwd);
  return identity.last;
}

/** Enters the working directory of a program. */
function enterStep(cwd: string, user: number): Step {
  return {
    what: `${CWD}: chdir ${cwd}`,
    call: "chdir",
    args: [cwd],
    hint: (errno) => errnoHint("enter the working directory", errno, { user }),
  };
}

/**
 * Enters the working directory of a program, not by magic links of /proc, which lead out of the container: for a process that can't
 * look afterwards where it is (`checkDirectory`). `number` is the lowest descriptor that it has free.
 */
export function enterSteps(cwd: string, user: number, number: number): Step[] {
  const what = `${CWD}: chdir ${cwd}`;
  const hint = (errno: string | undefined) => errnoHint("enter the working directory", errno, { user });
  /** struct open_how (openat2(2)) */
  const how = new BigUint64Array([
    BigInt(O.PATH | O.DIRECTORY | O.CLOEXEC),
    0n,
    BigInt(RESOLVE.NO_MAGICLINKS),
  ]);
  return [
    { what, call: "openat2", args: [AT.FDCWD, cwd, how, how.byteLength], success: { exactly: number }, hint },
    { what, call: "fchdir", args: [number], hint },
    { what, call: "close", args: [number] },
  ];
}

/** The working directory must be inside: a link to a descriptor's directory would not be (CVE-2024-21626). */
function checkDirectory(cwd: string): void {
  const buffer = new Uint8Array(LIMIT.PATH_MAX);
  const length = trySyscall("getcwd", buffer, LIMIT.PATH_MAX);
  if (length > 0 && buffer[0] === "/".charCodeAt(0)) return;
  throw new HakoError({
    code: "config",
    message: `config /process/cwd: ${cwd} is outside of the container's mount namespace`,
    path: cwd,
  });
}

/**
 * Standard streams that were opened by another user belong to the program's, so that it can open /dev/stdout. `owner` is what
 * we call that user. Those that are the user's already stay untouched: chown(2) takes setuid bits away from a file.
 */
export function standardStreamSteps(streams: readonly number[], uid: number, owner = uid): Step[] {
  return streams
    .filter((number) => isForeign(number, owner))
    .map((number) => ({
      what: `standard stream ${number}: fchown`,
      call: "fchown",
      args: [number, uid, UNCHANGED],
      // not mapped, not ours, read-only: the program will have to live with it, as with runc
      success: "anything",
    }));
}

function isForeign(number: number, owner: number): boolean {
  const stream = new Fd(number, `standard stream ${number}`);
  const { type, major, minor, uid } = fileStatusOf(stream);
  stream.release();
  if (uid === owner) return false;
  return type !== "character" || major !== NULL_DEVICE[0] || minor !== NULL_DEVICE[1];
}

/** The user's home directory from the container's /etc/passwd; "/" if it has none. */
export function homeOf(uid: number): string {
  try {
    // not blocked by a named pipe, and nothing but an ordinary file is read; files of the kernel's, which may wait, have no size
    using file = openAt(undefined, "/etc/passwd", O.RDONLY | O.NONBLOCK | O.NOCTTY);
    const { type, size } = fileStatusOf(file);
    if (type !== "file") return "/";
    return homeInPasswd(textOf(readAtMost(file, Math.min(size, MAX_PASSWD))), uid);
  } catch (error) {
    if (error instanceof HakoError) return "/";
    throw error;
  }
}
