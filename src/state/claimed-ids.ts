import { HakoError } from "../base/errors";
import { F, O } from "../linux/call/constants";
import type { Fd } from "../linux/call/fd";
import { trySyscall } from "../linux/call/syscall";
import { listNames, makeDirectories, tryReadText } from "../linux/file/file";
import { openAt } from "../linux/file/path";
import { dirname } from "../linux/file/path-text";
import { namespaceName } from "../linux/process/namespace";
import {
  type HostRange,
  type IdMaps,
  type OwnedRange,
  subordinateRanges,
} from "../linux/process/subordinate-ids";

/** As many ids as an image may name, and as many as podman gives to a container of root's. */
const SIZE = 65_536;
/** Whose rows of /etc/subuid and /etc/subgid are for containers of root's: hako's, or else podman's. */
const OWNERS = ["hako", "containers"];
/**
 * Without such rows: of what systemd leaves to container managers (UIDS-GIDS.md, "Container UID ranges") the end, since useradd gives users
 * their subordinate ids from the beginning.
 */
const USUAL = { first: 0x40000000, end: 0x70000000 } as const;
/** Locked at the number of the first id, by who is about to use these ids. */
const LOCKS = "/run/hako-ids";
const WRITE_LOCK = 1;

/** Ids of the host that no other user namespace has. They stay this process's until it ends, or a process has them. */
export class ClaimedIds implements Disposable {
  readonly maps: IdMaps;
  readonly #lock: Fd;

  private constructor(uids: number, gids: number, lock: Fd) {
    const map = (first: number) => [{ containerID: 0, hostID: first, size: SIZE }];
    this.maps = { uidMappings: map(uids), gidMappings: map(gids) };
    this.#lock = lock;
  }

  static claim(): ClaimedIds {
    const used = usedRanges();
    const all = { uid: subordinateRanges("uid"), gid: subordinateRanges("gid") };
    makeDirectories(dirname(LOCKS), 0o755);
    for (const [uids, gids] of candidates(all)) {
      if (isUsed(uids, used) || isUsed(gids, used)) continue;
      const lock = openAt(undefined, LOCKS, O.RDWR | O.CREAT | O.NOFOLLOW, 0o600);
      // another one may have taken them meanwhile, and have let go of the lock
      if (isLocked(lock, uids) && !isUsed(uids, usedRanges())) return new ClaimedIds(uids, gids, lock);
      lock.close();
    }
    throw new HakoError({
      code: "unsupported",
      message: `--userns auto: no ${SIZE} ids are free`,
      hint: `rows "hako:FIRST:COUNT" of /etc/subuid and /etc/subgid give more`,
    });
  }

  [Symbol.dispose](): void {
    this.#lock.close();
  }
}

/** The first uid and the first gid of each range that may be taken, by the rows of /etc/subuid and /etc/subgid. Exported for its test. */
export function* candidates(
  all: Readonly<Record<"uid" | "gid", readonly OwnedRange[]>>,
): Generator<[uids: number, gids: number]> {
  for (const owner of OWNERS) {
    const uids = windows(all.uid.filter((range) => range.owner === owner));
    const gids = windows(all.gid.filter((range) => range.owner === owner));
    if (uids.length === 0 && gids.length === 0) continue;
    for (const [index, first] of uids.entries()) {
      const other = gids[index];
      if (other !== undefined) yield [first, other];
    }
    return;
  }
  const taken = [...all.uid, ...all.gid];
  for (let first = USUAL.end - SIZE; first >= USUAL.first; first -= SIZE)
    if (!isUsed(first, taken)) yield [first, first];
}

function windows(ranges: readonly HostRange[]): number[] {
  return ranges.flatMap(({ first, size }) =>
    Array.from({ length: Math.floor(size / SIZE) }, (_, index) => first + index * SIZE),
  );
}

function isUsed(first: number, ranges: readonly HostRange[]): boolean {
  return ranges.some((range) => first < range.first + range.size && range.first < first + SIZE);
}

function isLocked(file: Fd, at: number): boolean {
  // struct flock: type and whence, begin, length, pid
  const lock = new BigInt64Array([BigInt(WRITE_LOCK), BigInt(at), 1n, 0n]);
  return trySyscall("fcntl", file.number, F.OFD_SETLK, lock) >= 0;
}

/** What the user namespaces of all processes map, whoever has made them. */
function usedRanges(): HostRange[] {
  const seen = new Set([namespaceName("self", "user")]);
  return listNames("/proc").flatMap((name) => {
    const pid = /^\d+$/.test(name) ? Number(name) : undefined;
    const namespace = pid === undefined ? undefined : namespaceOf(pid, "user");
    if (pid === undefined || namespace === undefined || seen.has(namespace)) return [];
    // one that has ended, and waits for its parent, does nothing by these ids any more; but other threads of it may
    if (namespaceOf(pid, "mount") === undefined && threadsOf(pid) < 2) return [];
    seen.add(namespace);
    return [`/proc/${pid}/uid_map`, `/proc/${pid}/gid_map`].flatMap((file) =>
      rangesIn(tryReadText(file) ?? ""),
    );
  });
}

/** 0 for one that ends just now. */
function threadsOf(pid: number): number {
  try {
    return listNames(`/proc/${pid}/task`).length;
  } catch {
    return 0;
  }
}

/** undefined for one that ends just now. */
function namespaceOf(pid: number, type: "user" | "mount"): string | undefined {
  try {
    return namespaceName(pid, type);
  } catch {
    return undefined;
  }
}

/**
 * The ids of the host that the text of a uid_map or gid_map gives away. Those that it calls by their own numbers are nobody's more than they were: a program
 * that is confined with all ids as they are would else leave none. Exported for its test.
 */
export function rangesIn(map: string): HostRange[] {
  return map
    .trim()
    .split("\n")
    .map((line) => line.trim().split(/\s+/).map(Number))
    .filter(([inside, first]) => inside !== first)
    .map(([, first = 0, size = 0]) => ({ first, size }));
}
