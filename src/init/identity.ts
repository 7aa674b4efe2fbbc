import { during, HakoError } from "../errors";
import {
  type CapabilityMasks,
  type CapabilityWords,
  capabilityMask,
  lackingCapabilities,
  limitBoundingSet,
  setCapabilities,
} from "../linux/capabilities";
import { setIdentity, setNoNewPrivileges } from "../linux/credentials";
import { Fd } from "../linux/fd";
import { hasErrno, readAtMost } from "../linux/file";
import { O, openAt } from "../linux/path";
import { statusOf } from "../linux/stat";
import { syscall, syscallOn, systemError, trySyscall } from "../linux/syscall";
import type { Process } from "../oci/config";

const DEFAULT_UMASK = 0o022;
const PATH_MAX = 4096;
const MAX_PASSWD = 1 << 24;
const NULL_DEVICE = [1, 3] as const;

/** The capability sets of config.json; a missing set is empty. */
export function masksOf(process: Process, warn: (message: string) => void): CapabilityMasks {
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
  if (unknown.size > 0) {
    warn(`config /process/capabilities: unknown here and left out: ${[...unknown].join(", ")}`);
  }
  return masks;
}

/**
 * Becomes the program's user with its capabilities, in its working directory; from here on this process can do no more
 * than the program, but for the capabilities of `kept`: what is returned takes these away.
 */
export function takeIdentity(
  process: Process,
  kept: bigint,
  warn: (message: string) => void,
): CapabilityWords {
  const { uid, gid, umask, additionalGids } = process.user;
  const masks = masksOf(process, warn);
  const lacking = lackingCapabilities(masks);
  if (lacking.length > 0) {
    warn(`config /process/capabilities: left out, as hako has them not itself: ${lacking.join(", ")}`);
  }
  if (process.noNewPrivileges === true) setNoNewPrivileges();
  syscall("umask", Number(umask ?? DEFAULT_UMASK));
  giveStandardStreams(uid);
  limitBoundingSet(masks.bounding);
  // As root first: the user may have no right to search the way there. Or only the user has: then after.
  const entered = tryEnterDirectory(process.cwd);
  during("config /process/user", () => setIdentity(uid, gid, additionalGids ?? []));
  if (!entered) enterDirectory(process.cwd);
  checkDirectory(process.cwd);
  return setCapabilities(masks, kept);
}

function tryEnterDirectory(cwd: string): boolean {
  try {
    enterDirectory(cwd);
    return true;
  } catch (error) {
    if (hasErrno(error, "EACCES", "EPERM")) return false;
    throw error;
  }
}

function enterDirectory(cwd: string): void {
  during(
    "config /process/cwd",
    () => syscallOn(cwd, "chdir", cwd),
    ({ errno }) => ({ hint: directoryHint(errno) }),
  );
}

function directoryHint(errno: string | undefined): string | undefined {
  switch (errno) {
    case "ENOENT":
      return "make it in the container, or choose another one";
    case "ENOTDIR":
      return "it, or something on the way to it, is a file";
    case "EACCES":
      return `user ${process.geteuid?.()} may not enter it, or a directory on the way: chmod a+x, or another user`;
    default:
      return undefined;
  }
}

/** The working directory must be inside: a link to a descriptor's directory would not be (CVE-2024-21626). */
function checkDirectory(cwd: string): void {
  const length = trySyscall("getcwd", Buffer.alloc(PATH_MAX), PATH_MAX);
  const buffer = Buffer.alloc(PATH_MAX);
  if (length > 0) syscallOn(cwd, "getcwd", buffer, PATH_MAX);
  if (length > 0 && buffer[0] === "/".charCodeAt(0)) return;
  throw new HakoError({
    code: "config",
    message: `config /process/cwd: ${cwd} is outside of the container's mount namespace`,
    path: cwd,
  });
}

/** Standard streams that were opened by another user belong to the program's, so that it can open /dev/stdout. */
function giveStandardStreams(uid: number): void {
  for (const number of [0, 1, 2]) {
    const stream = new Fd(number, `standard stream ${number}`);
    const status = statusOf(stream);
    stream.release();
    const isNull =
      status.type === "character" && status.major === NULL_DEVICE[0] && status.minor === NULL_DEVICE[1];
    if (isNull || status.uid === uid) continue;
    const result = trySyscall("fchown", number, uid, status.gid);
    // not mapped, not ours, read-only: the program will have to live with it, as with runc
    if (result < 0 && !hasErrno(systemError("fchown", -result), "EINVAL", "EPERM", "EROFS", "ENOSYS")) {
      throw systemError("fchown", -result, `standard stream ${number}`);
    }
  }
}

/** The user's home directory from the container's /etc/passwd; "/" if it has none. */
export function homeOf(uid: number): string {
  let text: string;
  try {
    // not blocked by a named pipe, and nothing but an ordinary file is read; files of the kernel's, which may wait, have no size
    using file = openAt(undefined, "/etc/passwd", O.RDONLY | O.NONBLOCK | O.NOCTTY);
    const { type, size } = statusOf(file);
    if (type !== "file") return "/";
    text = readAtMost(file, Math.min(size, MAX_PASSWD)).toString();
  } catch (error) {
    if (error instanceof HakoError) return "/";
    throw error;
  }
  for (const line of text.split("\n")) {
    const [name, , id, , , home] = line.split(":");
    if (name !== undefined && !name.startsWith("#") && id === String(uid) && home) return home;
  }
  return "/";
}
