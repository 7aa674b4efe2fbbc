// Made by scripts/sdk from hako's schemas and tables of flags.

/** The version of hako that it is for. */
export const VERSION = "0.1.0";

/** By an option's name: the flag's, and how its value is written. */
export type FlagTable = Readonly<
  Record<string, readonly [flag: string, kind: "switch" | "text" | "list" | "time" | "variables"]>
>;

/** What a program may read, write and reach: what a policy's file may say, and nothing else. */
export interface Policy {
  /** The policy that it adds to: default, build, agent, or a file beside it. */
  extends?: string | undefined;
  /** Paths that are empty for the command, wherever it would see them; also patterns. */
  hide?: readonly string[] | undefined;
  /** Paths in what is hidden that are seen, and only read. */
  read?: readonly string[] | undefined;
  /** Paths that are really written. */
  write?: readonly string[] | undefined;
  /** Paths that are only read, though what they are in may be written; also patterns. */
  protect?: readonly string[] | undefined;
  /** Bind mounts: SOURCE:TARGET[:ro]. */
  volume?: readonly string[] | undefined;
  /** File systems in memory: TARGET[:OPTION,...]. */
  tmpfs?: readonly string[] | undefined;
  /** Ports of the host's network at the command's localhost: [PORT:][HOST:]PORT. */
  forward?: readonly string[] | undefined;
  /** Ports of the host for those of the command's localhost: [IP:]PORT[:PORT]. */
  publish?: readonly string[] | undefined;
  /** Headers that are put into requests of HTTP and HTTPS: NAME:VALUE@[https://]HOST[:PORT]; ${NAME} in VALUE is a variable of the caller's. */
  "inject-header"?: readonly string[] | undefined;
  /** Variables: NAME=VALUE, or NAME for the caller's value. */
  env?: readonly string[] | undefined;
  /** "none", "host", or a list of rules, as "allow:example.com:443". */
  network?: string | readonly string[] | undefined;
  /** Memory limit, as 64M or 1G. */
  memory?: string | undefined;
  /** Processors' time, as 0.5. */
  cpus?: string | number | undefined;
  /** Limit of processes and threads. */
  pids?: string | number | undefined;
  /** After which it is killed, as 30s or 5m. */
  timeout?: string | undefined;
}

/** What `hako run --rootfs` can be told. */
export interface RunFlags {
  /** `--driver`: what isolates the container: namespaces (default), or a virtual machine of its own. */
  driver?: "namespaces" | "vm" | undefined;
  /** `--timeout`: kill the container after this time, as 30 (seconds) or 1m30s; `timedOut` is then true; a number is milliseconds. */
  timeout?: string | number | undefined;
  /** `--grace`: with --timeout: first ask its processes to end, by TERM; kill them after this time; a number is milliseconds. */
  grace?: string | number | undefined;
  /** `--discard`: with --rootfs DIR: writes are thrown away. */
  discard?: boolean | undefined;
  /** `--keep-writes`: writes go to DIR, and are there next time; the root file system is only read. */
  keepWrites?: string | undefined;
  /** `--changes`: what is written is kept in DIR, not made true; hako changes shows, applies and discards it. */
  changes?: string | undefined;
  /** `--entrypoint`: with an image: the program, in place of the image's ENTRYPOINT and CMD. */
  entrypoint?: string | undefined;
  /** `--memory`: memory limit, as 64M or 1G; no limit if neither this nor a policy says one; a number is bytes. */
  memory?: string | number | undefined;
  /** `--cpus`: processors' time, as 0.5; no limit if neither this nor a policy says one. */
  cpus?: string | number | undefined;
  /** `--pids`: limit of processes and threads; no limit if neither this nor a policy says one. */
  pids?: string | number | undefined;
  /** `--network`: a network of its own with loopback only (default), the host's, or a namespace by its path or its name of ip netns; RULE, as allow:example.com:443, says what a network of its own reaches, outbound all but the host and its networks. */
  network?: string | readonly string[] | undefined;
  /** `--forward`: the command's localhost:PORT is the host's, or HOST's. */
  forward?: string | readonly string[] | undefined;
  /** `--publish`: the host's PORT, of localhost or IP, is one of the command's localhost. */
  publish?: string | readonly string[] | undefined;
  /** `--inject-header`: with --rootfs and rules: put this header into requests to HOST, of plain HTTP, or of HTTPS by a certificate authority that only the command trusts; ${NAME} in VALUE is what a variable of yours says, which the command doesn't see. */
  injectHeader?: string | readonly string[] | undefined;
  /** `--network-log`: with --rootfs and rules: write a line of JSON for all that the command tries to reach. */
  networkLog?: string | undefined;
  /** `--env`: variables of the program. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** `--mount`: type=bind,source=DIR,target=DIR[,ro], or type=tmpfs,target=DIR[,OPTION]. */
  mount?: string | readonly string[] | undefined;
  /** `--volume`: a bind mount in fewer letters. */
  volume?: string | readonly string[] | undefined;
  /** `--write`: the host's PATH at the same place, really written. */
  write?: string | readonly string[] | undefined;
  /** `--hide`: empty for the command, wherever it would be seen; with --rootfs / also a pattern, as '**\/*.pem'. */
  hide?: string | readonly string[] | undefined;
  /** `--protect`: only read, though what it is in may be written; nor moved away; with --rootfs / also a pattern, as '**\/.envrc'. */
  protect?: string | readonly string[] | undefined;
  /** `--tmpfs`: a file system in memory, as /run:size=16M; noexec, nosuid and nodev unless told. */
  tmpfs?: string | readonly string[] | undefined;
  /** `--user`: names or numbers of user and group. */
  user?: string | undefined;
  /** `--userns`: whose ids the program has: the host's, others of a range of its own, or the caller's own one. */
  userns?: "host" | "auto" | "keep-id" | undefined;
  /** `--map-root`: for an ordinary user, who is 0 in the container, and not who has called. */
  mapRoot?: boolean | undefined;
  /** `--workdir`: working directory; if not given /, or with --rootfs / the caller's. */
  workdir?: string | undefined;
  /** `--read-only`: it, and all that is mounted below it, can't be written. */
  readOnly?: boolean | undefined;
  /** `--hostname`: host name; the id if not given. */
  hostname?: string | undefined;
  /** `--seccomp`: what system calls it may make: as ordinary programs do, or a profile's. */
  seccomp?: string | undefined;
  /** `--cap-add`: give it a capability more than the usual ones. */
  capAdd?: string | readonly string[] | undefined;
  /** `--cap-drop`: take a capability away. */
  capDrop?: string | readonly string[] | undefined;
  /** `--device`: a device of the host's. */
  device?: string | readonly string[] | undefined;
  /** `--ulimit`: a limit of setrlimit(2), as nofile=1024; others are the caller's. */
  ulimit?: string | readonly string[] | undefined;
  /** `--weaker`: proc: the outer /proc, where no new one may be mounted, as in a container without privileges; namespaces: no container, but Landlock and seccomp alone; attributes: so, and modes, owners, times and attributes of files may be changed anywhere. */
  weaker?: "proc" | "namespaces" | "attributes" | undefined;
  /** `--no-init`: the command is the container's first process, not a child of hako's own. */
  noInit?: boolean | undefined;
  /** `--policy`: what the program may read, write and reach: default, build, agent, a file, or an object; others of these options add to it. */
  policy?: string | Policy | undefined;
}

export const RUN_FLAGS: FlagTable = {
  driver: ["driver", "text"],
  timeout: ["timeout", "time"],
  grace: ["grace", "time"],
  discard: ["discard", "switch"],
  keepWrites: ["keep-writes", "text"],
  changes: ["changes", "text"],
  entrypoint: ["entrypoint", "text"],
  memory: ["memory", "text"],
  cpus: ["cpus", "text"],
  pids: ["pids", "text"],
  network: ["network", "list"],
  forward: ["forward", "list"],
  publish: ["publish", "list"],
  injectHeader: ["inject-header", "list"],
  networkLog: ["network-log", "text"],
  env: ["env", "variables"],
  mount: ["mount", "list"],
  volume: ["volume", "list"],
  write: ["write", "list"],
  hide: ["hide", "list"],
  protect: ["protect", "list"],
  tmpfs: ["tmpfs", "list"],
  user: ["user", "text"],
  userns: ["userns", "text"],
  mapRoot: ["map-root", "switch"],
  workdir: ["workdir", "text"],
  readOnly: ["read-only", "switch"],
  hostname: ["hostname", "text"],
  seccomp: ["seccomp", "text"],
  capAdd: ["cap-add", "list"],
  capDrop: ["cap-drop", "list"],
  device: ["device", "list"],
  ulimit: ["ulimit", "list"],
  weaker: ["weaker", "text"],
  noInit: ["no-init", "switch"],
  policy: ["policy", "text"],
};

/** What `hako exec` can be told. */
export interface ExecFlags {
  /** `--cwd`: working directory in the container. */
  cwd?: string | undefined;
  /** `--env`: variables of the program. */
  env?: Readonly<Record<string, string | undefined>> | undefined;
  /** `--user`: names or numbers of user and group. */
  user?: string | undefined;
  /** `--additional-gids`: numbers of more groups. */
  additionalGids?: string | readonly string[] | undefined;
  /** `--cap`: add a capability to the bounding, effective and permitted sets. */
  cap?: string | readonly string[] | undefined;
  /** `--apparmor`: AppArmor profile. */
  apparmor?: string | undefined;
  /** `--process-label`: SELinux label. */
  processLabel?: string | undefined;
  /** `--timeout`: kill the command after this time, as 30 (seconds) or 1m30s, and all that it has started; `timedOut` is then true; a number is milliseconds. */
  timeout?: string | number | undefined;
  /** `--grace`: with --timeout: first ask them to end, by TERM; kill them after this time; a number is milliseconds. */
  grace?: string | number | undefined;
}

export const EXEC_FLAGS: FlagTable = {
  cwd: ["cwd", "text"],
  env: ["env", "variables"],
  user: ["user", "text"],
  additionalGids: ["additional-gids", "list"],
  cap: ["cap", "list"],
  apparmor: ["apparmor", "text"],
  processLabel: ["process-label", "text"],
  timeout: ["timeout", "time"],
  grace: ["grace", "time"],
};

/** What is told of the end of a program; null is what nobody knows. */
export interface Report {
  /** The container's. */
  id: string | null;
  /** The first process's exit status, or 128 + N where signal N ended it. */
  exitCode: number | null;
  /** What ended it, as "SIGKILL"; null if it ended by itself. */
  signal: string | null;
  /** The kernel has killed a process of the container, not the first one perhaps, for lack of memory. */
  oomKilled: boolean | null;
  /** The time limit was reached. */
  timedOut: boolean;
  /** When the program began, by RFC 3339. */
  started: string | null;
  /** How many milliseconds it took. */
  wallMs: number | null;
  /** Processor time of all its processes, in milliseconds. */
  cpuUserMs: number | null;
  /** The same in the kernel. */
  cpuSystemMs: number | null;
  /** The most memory at one time, with what the kernel caches for it. */
  memoryPeakBytes: number | null;
  /** The most processes and threads at one time. */
  pidsPeak: number | null;
  /** What isolates it less than elsewhere, as `--weaker` has allowed. */
  weaker: ("proc" | "namespaces" | "attributes" | "signals")[];
  /** The ABI of Landlock that keeps its program in; null where none does. */
  landlock: number | null;
  /** Which it was run by. */
  policy: string | null;
  /** What the policy protects, and could not be held: it was not there when the program began. */
  unprotected: string[];
  /** To be looked at: what the policy protects and was made meanwhile; what is hidden or protected and was replaced or removed outside; repositories that git finds by an index that was changed. */
  unheld: string[];
  /** What rules of `--network` have refused; null where there are none. */
  refused:
    | {
        /** A name or an address. */
        host: string;
        /** null of a name that was asked for, whose port nobody knows. */
        port: number | null;
        protocol: "tcp" | "udp" | null;
        why: string;
        /** The address of the name for which it was refused; null where it was for the name itself. */
        address: string | null;
        count: number;
      }[]
    | null;
  /** Why hako itself has failed; null where it hasn't. */
  hakoError: {
    code:
      | "usage"
      | "config"
      | "unsupported"
      | "not-found"
      | "exists"
      | "state"
      | "command-not-found"
      | "command-not-executable"
      | "system";
    message: string;
    hint: string | null;
  } | null;
}

/** How a container has ended; null is what nobody knows. */
export interface Ended {
  /** The first process's exit status, or 128 + N where signal N ended it. */
  exitCode: number | null;
  /** What ended it, as "SIGKILL"; null if it ended by itself. */
  signal: string | null;
  /** The kernel has killed a process of the container, not the first one perhaps, for lack of memory. */
  oomKilled: boolean | null;
  /** RFC 3339; known where a command of hako's saw the end. */
  finished: string | null;
}

/** The state of a container, as the OCI runtime spec has it. */
export interface State {
  ociVersion: string;
  id: string;
  /** As in the spec; or paused. */
  status: "creating" | "created" | "running" | "paused" | "stopped";
  /** 0 when there is no process. */
  pid: number;
  bundle: string;
  annotations: Record<string, string>;
  rootfs: string;
  /** RFC 3339. */
  created: string;
  /** What isolates it less than elsewhere, as `--weaker` has allowed. */
  weaker?: ("proc" | "namespaces" | "attributes" | "signals")[];
  /** The ABI of Landlock that keeps its program in; null where none does. */
  landlock?: number | null;
  /** The first process's exit status, or 128 + N where signal N ended it. */
  exitCode?: number | null;
  /** What ended it, as "SIGKILL"; null if it ended by itself. */
  signal?: string | null;
  /** The kernel has killed a process of the container, not the first one perhaps, for lack of memory. */
  oomKilled?: boolean | null;
  /** RFC 3339; known where a command of hako's saw the end. */
  finished?: string | null;
}

/** The counters of a container, under the names in runc's JSON. Times are nanoseconds. */
export interface Stats {
  cpu: {
    usage: {
      total: number;
      percpu?: number[];
      percpu_kernel?: number[];
      percpu_user?: number[];
      kernel: number;
      user: number;
    };
    throttling: {
      periods: number;
      throttledPeriods: number;
      throttledTime: number;
    };
    psi?: {
      some: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
      full: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
    };
  };
  cpuset: {
    cpus: number[];
    mems: number[];
    cpu_exclusive: number;
    mem_hardwall: number;
    mem_exclusive: number;
    memory_migrate: number;
    memory_spread_page: number;
    memory_spread_slab: number;
    memory_pressure: number;
    sched_load_balance: number;
    sched_relax_domain_level: number;
  };
  memory: {
    cache: number;
    usage: {
      limit: number;
      usage: number;
      max: number;
      failcnt: number;
    };
    swap: {
      limit: number;
      usage: number;
      max: number;
      failcnt: number;
    };
    kernel: {
      limit: number;
      usage: number;
      max: number;
      failcnt: number;
    };
    kernelTCP: {
      limit: number;
      usage: number;
      max: number;
      failcnt: number;
    };
    raw: Record<string, number>;
    psi?: {
      some: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
      full: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
    };
  };
  pids: {
    current: number;
    limit: number;
  };
  blkio: {
    ioServiceBytesRecursive: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioServicedRecursive: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioQueueRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioServiceTimeRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioWaitTimeRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioMergedRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    ioTimeRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    sectorsRecursive?: {
      major: number;
      minor: number;
      /** What was done, as "Read"; sums have none. */
      op?: string;
      value: number;
    }[];
    psi?: {
      some: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
      full: {
        avg10: number;
        avg60: number;
        avg300: number;
        total: number;
      };
    };
  };
  hugetlb: Record<
    string,
    {
      usage: number;
      max: number;
      failcnt: number;
    }
  >;
  /** Empty for containers without /linux/intelRdt. */
  intel_rdt: Record<string, unknown>;
  /** Always null, as with runc, whose readers look for the field. */
  network_interfaces: null;
}

/** One file or directory that is not as it is on the host. */
export interface Change {
  path: string;
  change: "added" | "changed" | "removed";
  /** What it is now; of what is removed, what it was. */
  type: "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket";
  /** What is different. */
  what: ("type" | "content" | "target" | "mode" | "owner" | "attributes")[];
  /** What the host has there. */
  from: {
    type: string;
    /** Octal, as "0644". */
    mode: string;
    /** As "0:0". */
    owner: string;
    /** Where a symbolic link leads. */
    target: string | null;
  } | null;
  /** null of what is removed. */
  to: {
    type: string;
    /** Octal, as "0644". */
    mode: string;
    /** As "0:0". */
    owner: string;
    /** Where a symbolic link leads. */
    target: string | null;
  } | null;
  /** What reads or executes such a file without being asked to, or what rights it has. */
  noteworthy: string | null;
  /** Rights that a file gets only if that is forced. */
  rights: string | null;
  /** Why it is not applied: the host's file is another one than the program had. */
  conflict: string | null;
  /** Why it is never applied. */
  leftOut: string | null;
}
