import type { VirtiofsdKind } from "./find-virtiofsd";

/**
 * How long the guest may take what it knows of a file for true: "auto" a second, and what it has of the file's data until that is opened again;
 * "none" not at all.
 */
export const CACHES = ["auto", "none"] as const;
export type Cache = (typeof CACHES)[number];

export interface ServedFiles {
  /** The descriptor of a listening socket, as virtiofsd has it. */
  socketFd: number;
  cache: Cache;
  /** How many descriptors it may have: it has one for each file that the guest's kernel knows. */
  openFiles: bigint;
}

/**
 * Both kinds: extended attributes and access lists as on the host, file systems of their own where the tree has such (so that numbers of inodes tell
 * files apart), no handles of files, which are beyond any tree, and a seccomp filter. The one in Rust changes its root directory as root only, which it
 * is not here; it looks names up by openat2(2), which keeps it in the tree.
 */
const ARGUMENTS: Readonly<Record<VirtiofsdKind, (files: ServedFiles, source: string) => string[]>> = {
  qemu: ({ socketFd, cache, openFiles }, source) => [
    `--fd=${socketFd}`,
    ...["-f", `--rlimit-nofile=${openFiles}`],
    ...[
      "-o",
      `source=${source},sandbox=chroot,cache=${cache},xattr,posix_acl,announce_submounts,log_level=warn`,
    ],
  ],
  rust: ({ socketFd, cache, openFiles }, source) => [
    `--fd=${socketFd}`,
    ...[`--shared-dir=${source}`, "--sandbox=none", `--cache=${cache === "none" ? "never" : cache}`],
    ...["--posix-acl", "--announce-submounts", "--inode-file-handles=never", "--seccomp=kill"],
    ...["--log-level=warn", `--rlimit-nofile=${openFiles}`],
  ],
};

/** `source` is the path of the directory that is served, which QEMU's own wants to be no link. */
export function virtiofsdArguments(kind: VirtiofsdKind, files: ServedFiles, source: string): string[] {
  return ARGUMENTS[kind](files, source);
}
