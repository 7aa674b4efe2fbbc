import type { ErrnoName } from "./errno";

/** What to try where a system call has run into a limit of the kernel's, whatever it was made for. */
const CALL_HINTS: readonly (readonly [
  errno: ErrnoName,
  calls: readonly string[] | undefined,
  hint: string,
])[] = [
  // in the container; of hako's own processes more is known (explain/clone.ts)
  ["EAGAIN", ["clone"], "there may be no more processes: raise --pids, or ulimit -u (RLIMIT_NPROC)"],
  ["EMFILE", undefined, "this process has all the descriptors that it may have: raise ulimit -n"],
  ["EFBIG", undefined, "a file may not be that large: raise ulimit -f"],
  ["ENFILE", undefined, "the host has all the open files that it may have: raise fs.file-max"],
  [
    "EDQUOT",
    ["keyctl", "add_key"],
    "this user's keyrings are used up: raise kernel.keys.maxkeys, or --no-new-keyring",
  ],
  [
    "ENOSPC",
    ["open_tree", "move_mount", "fsmount", "mount", "mount_setattr"],
    "this namespace has all the mounts that it may have: raise fs.mount-max",
  ],
  ["ENOMEM", ["bpf"], "raise ulimit -l (RLIMIT_MEMLOCK)"],
];

/** What to try about a failed system call; undefined for errnos that say it all. */
export function systemCallHint(call: string, errno: ErrnoName): string | undefined {
  return CALL_HINTS.find(
    ([name, calls]) => name === errno && (calls === undefined || calls.includes(call)),
  )?.[2];
}

type Hints = Partial<Record<ErrnoName, string>>;

/**
 * What to try about something that failed, by what was being done and the errno. The place of the failure fills `{word}` in. Hints that need a
 * look at the host are in src/explain. This is a function so that only a failure pays for the table.
 */
const attempts = () =>
  ({
    "become a user": { EINVAL: "{id} has no mapping in the user namespace" },
    "become a user of the user namespace": { EINVAL: "{id} has no mapping there" },
    "write an id map": {
      EINVAL:
        "ranges may not overlap, must be mapped in the namespace that hako runs in, and are 340 at most",
    },
    "set an oom_score_adj": {
      EACCES: "lowering it needs CAP_SYS_RESOURCE",
      EPERM: "lowering it needs CAP_SYS_RESOURCE",
    },
    "schedule by SCHED_DEADLINE": {
      EBUSY: "the processors' time is promised to others",
      EINVAL: "/proc/sys/kernel/sched_deadline_period_min_us and _max_us say which periods are allowed",
    },
    "make a cgroup": {
      EAGAIN:
        "{existing} or one above has as many cgroups as its cgroup.max.descendants or cgroup.max.depth allows",
      ENOMEM: "a cgroup takes memory of the one above: the limit of {existing} is {limit}",
      ENOSPC:
        "the kernel keeps 65535 cgroups with memory at most, removed ones too until their memory is freed: see /proc/cgroups",
      EOPNOTSUPP: '{existing} is of type "{type}": choose another linux.cgroupsPath',
      EEXIST: "{existing} is a file of the cgroup above: choose another linux.cgroupsPath",
      ENOTDIR: "{existing} is a file of the cgroup above: choose another linux.cgroupsPath",
    },
    "join a cgroup": {
      EBUSY: "{cgroup} gives controllers to its children, so it takes no processes",
      ENOSPC: "its cpuset.cpus or cpuset.mems is empty",
      EOPNOTSUPP: '{cgroup} is of type "{type}"',
      ENOENT: "the cgroup was removed by somebody else",
    },
    "set a limit of a cgroup": {
      ENOENT: "this kernel has no {file}: remove the limit",
      EINVAL: "the value is outside of what the kernel or the parent cgroup allows",
      ERANGE: "the value is outside of what the kernel allows",
      EBUSY: "more than that is in use already",
      ENODEV: "no such device on this host",
      EACCES: "the parent cgroup or this user's rights do not allow it",
      EPERM: "the parent cgroup or this user's rights do not allow it",
    },
    "make the working directory": {
      ENOTDIR: "it, or something on the way to it, is a file of the image: choose another one",
      EEXIST: "it, or something on the way to it, is a file of the image: choose another one",
      EROFS: "it is missing and can't be made in a read-only file system: make it in the image",
    },
    "enter the working directory": {
      ENOENT: "make it in the container, or choose another one",
      ENOTDIR: "it, or something on the way to it, is a file",
      ELOOP: "links in a circle, or a link of procfs, which may lead out of the container",
      EACCES: "user {user} may not enter it, or a directory on the way: chmod a+x, or another user",
    },
    "connect to a console socket": {
      ENOENT: "start its listener first: hako console recv SOCKET",
      ECONNREFUSED:
        "nobody listens there, or it is no socket: start its listener first, hako console recv SOCKET",
      EPROTOTYPE: "it must be a stream socket",
    },
    "read a seccomp profile": { ENOENT: "default, off, or a file with a profile" },
  }) satisfies Record<string, Hints>;

export type Attempt = keyof ReturnType<typeof attempts>;

/** What is known where an attempt fails; looked up when its hint needs it. */
type Words = Readonly<Record<string, string | number | (() => string | undefined)>>;

/** What to try about an attempt that failed; undefined for errnos that say it all. */
export function errnoHint(
  attempt: Attempt,
  errno: string | undefined,
  words: Words = {},
): string | undefined {
  const hints: Readonly<Record<string, string>> = attempts()[attempt];
  return hints[errno ?? ""]?.replaceAll(/\{(\w+)\}/g, (_, name: string) => {
    const word = words[name];
    return String((typeof word === "function" ? word() : word) ?? "unknown");
  });
}
