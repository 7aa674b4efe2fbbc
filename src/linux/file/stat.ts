import { AT, SIZE, STATX } from "../call/constants";
import type { Fd } from "../call/fd";
import { syscallOn, trySyscall } from "../call/syscall";

const STATX_ATTR_MOUNT_ROOT = 0x2000;
/** struct statfs of 64-bit Linux, in words: f_bavail, f_files, f_ffree, f_flags. */
const STATFS = { available: 4, files: 5, freeFiles: 6, flags: 10 };
/** What a failed command may have given back before it asks. */
const LAST = 8n;
const ST_RDONLY = 1n;
const ST_NOEXEC = 8n;
const S_IFMT = 0o170000;

export type FileType = "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";

const TYPES: ReadonlyMap<number, FileType> = new Map([
  [0o100000, "file"],
  [0o040000, "directory"],
  [0o120000, "symlink"],
  [0o020000, "character"],
  [0o060000, "block"],
  [0o010000, "fifo"],
  [0o140000, "socket"],
]);

/** The type that a mode's bits say (inode(7)). */
export function typeOfMode(mode: number): FileType | undefined {
  return TYPES.get(mode & 0o170000);
}

export interface FileStatus {
  type: FileType;
  /** Permission bits with setuid, setgid and sticky. */
  mode: number;
  uid: number;
  gid: number;
  size: number;
  /** Bytes that it takes on its file system: less than its size where it has holes. */
  allocated: number;
  inode: bigint;
  /** Of a device node: what it stands for. */
  major: number;
  minor: number;
  /** Modification time: seconds, nanoseconds. */
  modified: readonly [bigint, number];
  /** Of its status: seconds, nanoseconds. Nobody can set it. */
  changed: readonly [bigint, number];
  /** When it was made; undefined unless it was asked for (`STATX.BTIME`), and the file system knows it. */
  born: readonly [bigint, number] | undefined;
  /** How many names it has. */
  links: number;
  /** How much of it is there, in blocks of 512 bytes: less than its size where it has holes. */
  blocks: number;
  /** It is the root of a mount (STATX_ATTR_MOUNT_ROOT; Linux 5.8). */
  mountRoot: boolean;
  /** Of the file system that it is on, as major:minor. */
  device: string;
  /** The number of the mount that it was found in (STATX_MNT_ID; Linux 5.8). */
  mount: number;
}

/** The status of what a descriptor is open on (O_PATH descriptors too). */
export function fileStatusOf(fd: Fd, wanted: number = STATX.BASIC_STATS): FileStatus {
  const status = new Statx();
  syscallOn(fd.name, "statx", fd.number, "", AT.EMPTY_PATH, wanted, status.words);
  return status;
}

/** The status of what is at a path, or -errno. */
export function tryStatus(path: string, follow: boolean): FileStatus | number {
  const status = new Statx();
  const flags = follow ? 0 : AT.SYMLINK_NOFOLLOW;
  const wanted = STATX.BASIC_STATS | STATX.MNT_ID;
  const result = trySyscall("statx", AT.FDCWD, path, flags, wanted, status.words);
  return result < 0 ? result : status;
}

/** struct statx (statx(2)), of which most look at a field or two. */
class Statx implements FileStatus {
  readonly words = new Int32Array(SIZE.STRUCT_STATX / 4);

  get type(): FileType {
    return TYPES.get(this.#at(28) & S_IFMT) ?? "file";
  }

  get mode(): number {
    return this.#at(28) & 0o7777;
  }

  get uid(): number {
    return this.#at(20);
  }

  get gid(): number {
    return this.#at(24);
  }

  get size(): number {
    return this.#at(44) * 2 ** 32 + this.#at(40);
  }

  get allocated(): number {
    return 512 * Number(this.#longAt(48));
  }

  get inode(): bigint {
    return this.#longAt(32);
  }

  get major(): number {
    return this.#at(128);
  }

  get minor(): number {
    return this.#at(132);
  }

  get modified(): readonly [bigint, number] {
    return [BigInt.asIntN(64, this.#longAt(112)), this.#at(120)];
  }

  get changed(): readonly [bigint, number] {
    return [BigInt.asIntN(64, this.#longAt(96)), this.#at(104)];
  }

  get born(): readonly [bigint, number] | undefined {
    if ((this.#at(0) & STATX.BTIME) === 0) return undefined;
    return [BigInt.asIntN(64, this.#longAt(80)), this.#at(88)];
  }

  get links(): number {
    return this.#at(16);
  }

  get blocks(): number {
    return Number(this.#longAt(48));
  }

  get mountRoot(): boolean {
    return (this.#at(8) & STATX_ATTR_MOUNT_ROOT) !== 0;
  }

  get device(): string {
    return `${this.#at(136)}:${this.#at(140)}`;
  }

  get mount(): number {
    return this.#at(144);
  }

  /** 32 bits at an offset. */
  #at(offset: number): number {
    return (this.words[offset / 4] ?? 0) >>> 0;
  }

  #longAt(offset: number): bigint {
    return (BigInt(this.#at(offset + 4)) << 32n) | BigInt(this.#at(offset));
  }
}

/** Where a descriptor is open. */
export interface OpenPlace {
  /** Names the file and the mount through which it is open: equal for two descriptors of one place. */
  name: string;
  /** It is the root of a mount (STATX_ATTR_MOUNT_ROOT; Linux 5.8). */
  mountRoot: boolean;
}

export function openPlaceOf(fd: Fd): OpenPlace {
  const { mount, device, inode, mountRoot } = fileStatusOf(fd, STATX.INO | STATX.MNT_ID);
  return { name: `${mount}:${device}:${inode}`, mountRoot };
}

/** Whether two descriptors are open on the same file, through whatever mounts. */
export function isSameFile(one: Fd, other: Fd): boolean {
  const [status, otherStatus] = [fileStatusOf(one, STATX.INO), fileStatusOf(other, STATX.INO)];
  return status.inode === otherStatus.inode && status.device === otherStatus.device;
}

/** The magic number of the file system that a descriptor is open on (statfs(2)). */
export function filesystemOf(fd: Fd): number {
  const buffer = new Int32Array(64);
  syscallOn(fd.name, "fstatfs", fd.number, buffer);
  return (buffer[0] ?? 0) >>> 0;
}

/** What statfs(2) tells of the mount that a descriptor is open on, and of its file system. */
export interface MountStatus {
  readonly: boolean;
  noexec: boolean;
  /** Next to no block, or no inode, is left for an ordinary user. */
  full: "blocks" | "inodes" | undefined;
}

/**
 * What `MountStatus` tells. By the system call itself: in a container's mount namespace no symbol of libc's can be looked up any
 * more.
 */
export function mountStatusOf(fd: Fd): MountStatus {
  const words = new BigUint64Array(32);
  syscallOn(fd.name, "fstatfs", fd.number, words);
  const word = (index: number) => words[index] ?? 0n;
  const noInodes = word(STATFS.files) > 0n && word(STATFS.freeFiles) <= LAST;
  return {
    readonly: (word(STATFS.flags) & ST_RDONLY) !== 0n,
    noexec: (word(STATFS.flags) & ST_NOEXEC) !== 0n,
    full: noInodes ? "inodes" : word(STATFS.available) <= LAST ? "blocks" : undefined,
  };
}

/** The id in /proc/self/mountinfo of the mount that a descriptor is open on; undefined before Linux 5.8. */
export function mountIdOf(fd: Fd): number | undefined {
  const buffer = new Uint8Array(SIZE.STRUCT_STATX);
  syscallOn(undefined, "statx", fd.number, "", AT.EMPTY_PATH, STATX.MNT_ID, buffer);
  const view = new DataView(buffer.buffer);
  return (view.getUint32(0, true) & STATX.MNT_ID) === 0 ? undefined : Number(view.getBigUint64(0x90, true));
}

/** The most bytes of a file handle, and its header: handle_bytes, handle_type (struct file_handle). */
const HANDLE = { most: 128, header: 8 };

/** What a file system knows a file by, whatever its name is: type and bytes (name_to_handle_at(2)); undefined where it has nothing such. */
export function fileHandleOf(fd: Fd): { type: number; bytes: Uint8Array } | undefined {
  const handle = new Uint8Array(HANDLE.header + HANDLE.most);
  const view = new DataView(handle.buffer);
  view.setUint32(0, HANDLE.most, true);
  const result = trySyscall("name_to_handle_at", fd.number, "", handle, new Int32Array(1), AT.EMPTY_PATH);
  if (result < 0) return undefined;
  const bytes = handle.slice(HANDLE.header, HANDLE.header + view.getUint32(0, true));
  return { type: view.getInt32(4, true), bytes };
}
