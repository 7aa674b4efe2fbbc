/**
 * Numbers of the kernel's interface, by the names of its headers (include/uapi): SIG.KILL is SIGKILL, O.PATH is O_PATH. What one file alone
 * needs is there. Enumerations, and with literal values, because the bundler puts the numbers in their place: other constants
 * would be variables that each module which uses them has to be linked with, a hundredth of a short command.
 */

/** openat(2). */
export enum O {
  RDONLY = 0,
  WRONLY = 1,
  RDWR = 2,
  ACCMODE = 3,
  CREAT = 0o100,
  EXCL = 0o200,
  NOCTTY = 0o400,
  TRUNC = 0o1000,
  APPEND = 0o2000,
  NONBLOCK = 0o4000,
  // biome-ignore lint/style/useLiteralEnumMembers: the build says which processor it is
  DIRECTORY = process.arch === "arm64" ? 0o40000 : 0o200000,
  // biome-ignore lint/style/useLiteralEnumMembers: the build says which processor it is
  NOFOLLOW = process.arch === "arm64" ? 0o100000 : 0o400000,
  CLOEXEC = 0o2000000,
  PATH = 0o10000000,
}

/** Of calls that take a directory's descriptor (linux/fcntl.h). */
export enum AT {
  FDCWD = -100,
  SYMLINK_NOFOLLOW = 0x100,
  REMOVEDIR = 0x200,
  EMPTY_PATH = 0x1000,
  RECURSIVE = 0x8000,
}

/** fcntl(2). */
export enum F {
  SETFD = 2,
  GETFL = 3,
  SETFL = 4,
  OFD_SETLK = 37,
  DUPFD_CLOEXEC = 1030,
  SETPIPE_SZ = 1031,
  ADD_SEALS = 1033,
  GET_SEALS = 1034,
}

/** fcntl(2), `F.SETFD`. */
export enum FD {
  CLOEXEC = 1,
}

/** flock(2). */
export enum LOCK {
  SH = 1,
  EX = 2,
  NB = 4,
}

/** faccessat(2). */
export enum ACCESS {
  X_OK = 1,
  W_OK = 2,
  R_OK = 4,
  AT_EACCESS = 0x200,
}

/** openat2(2). */
export enum RESOLVE {
  NO_MAGICLINKS = 0x02,
  NO_SYMLINKS = 0x04,
  IN_ROOT = 0x10,
}

/** close_range(2). */
export enum CLOSE_RANGE {
  CLOEXEC = 4,
}

/** statx(2): what is asked for. */
export enum STATX {
  INO = 0x100,
  BASIC_STATS = 0x7ff,
  BTIME = 0x800,
  MNT_ID = 0x1000,
}

/** limits.h. */
export enum LIMIT {
  PATH_MAX = 4096,
}

/** In bytes. */
export enum SIZE {
  PAGE = 4096,
  STRUCT_STATX = 256,
}

/** mount(2). */
export enum MS {
  REMOUNT = 32,
  BIND = 4096,
  REC = 16384,
  UNBINDABLE = 1 << 17,
  PRIVATE = 1 << 18,
  SLAVE = 1 << 19,
  SHARED = 1 << 20,
  RELATIME = 1 << 21,
}

/** umount2(2). */
export enum MNT {
  DETACH = 2,
}

/** open_tree(2). */
export enum OPEN_TREE {
  CLONE = 1,
}

/** fsopen(2). */
export enum FSOPEN {
  CLOEXEC = 1,
}

/** fsmount(2). */
export enum FSMOUNT {
  CLOEXEC = 1,
}

/** fsconfig(2). */
export enum FSCONFIG {
  SET_FLAG = 0,
  SET_STRING = 1,
  SET_FD = 5,
  CMD_CREATE = 6,
}

/** socket(2): address families. */
export enum AF {
  UNIX = 1,
  INET = 2,
  INET6 = 10,
  NETLINK = 16,
}

/** socket(2): types, and their flags. */
export enum SOCK {
  STREAM = 1,
  DGRAM = 2,
  RAW = 3,
  SEQPACKET = 5,
  NONBLOCK = 0o4000,
  CLOEXEC = 0o2000000,
}

/** sendmsg(2), recvmsg(2). */
export enum MSG {
  CTRUNC = 0x8,
  TRUNC = 0x20,
  DONTWAIT = 0x40,
  NOSIGNAL = 0x4000,
  CMSG_CLOEXEC = 0x40000000,
}

/** poll(2). */
export enum POLL {
  IN = 0x1,
  PRI = 0x2,
  OUT = 0x4,
  ERR = 0x8,
  HUP = 0x10,
  NVAL = 0x20,
}

/** netdevice(7). */
export enum IFF {
  UP = 1,
  RUNNING = 0x40,
}

/** ioctl_tty(2). */
export enum TTY {
  TCGETS = 0x5401,
  TCSETS = 0x5402,
  TIOCSCTTY = 0x540e,
  TIOCGPGRP = 0x540f,
  TIOCGWINSZ = 0x5413,
  TIOCSWINSZ = 0x5414,
  TIOCGPTPEER = 0x5441,
  TIOCSPTLCK = 0x40045431,
  TIOCGPTN = 0x80045430,
}

/** termios(3): local modes. */
export enum LFLAG {
  ICANON = 0o2,
}

/** mmap(2): what the memory is for. */
export enum PROT {
  READ = 1,
  WRITE = 2,
  EXEC = 4,
}

/** mmap(2). */
export enum MAP {
  SHARED = 1,
  PRIVATE = 2,
  FIXED = 0x10,
  ANONYMOUS = 0x20,
}

/** clone(2), unshare(2). Those of namespaces are `NAMESPACE_FLAGS`. */
export enum CLONE {
  VM = 0x100,
  FS = 0x200,
  FILES = 0x400,
  VFORK = 0x4000,
}

/** wait4(2), waitid(2). */
export enum W {
  NOHANG = 1,
  STOPPED = 2,
  EXITED = 4,
  NOWAIT = 0x01000000,
}

/** prctl(2). */
export enum PR {
  SET_PDEATHSIG = 1,
  SET_DUMPABLE = 4,
  SET_KEEPCAPS = 8,
  SET_NAME = 15,
  CAPBSET_READ = 23,
  CAPBSET_DROP = 24,
  SET_SECUREBITS = 28,
  SET_CHILD_SUBREAPER = 36,
  SET_NO_NEW_PRIVS = 38,
  SET_THP_DISABLE = 41,
  GET_THP_DISABLE = 42,
  CAP_AMBIENT = 47,
}

/** signal(7): the same on x86-64 and arm64. */
export enum SIG {
  HUP = 1,
  INT = 2,
  QUIT = 3,
  ILL = 4,
  TRAP = 5,
  ABRT = 6,
  BUS = 7,
  FPE = 8,
  KILL = 9,
  USR1 = 10,
  SEGV = 11,
  USR2 = 12,
  PIPE = 13,
  ALRM = 14,
  TERM = 15,
  STKFLT = 16,
  CHLD = 17,
  CONT = 18,
  STOP = 19,
  TSTP = 20,
  TTIN = 21,
  TTOU = 22,
  URG = 23,
  XCPU = 24,
  XFSZ = 25,
  VTALRM = 26,
  PROF = 27,
  WINCH = 28,
  IO = 29,
  PWR = 30,
  SYS = 31,
  RTMIN = 34,
  RTMAX = 64,
}

/** sigprocmask(2). */
export enum SIGPROCMASK {
  SIG_BLOCK = 0,
  SIG_UNBLOCK = 1,
  SIG_SETMASK = 2,
}

/** reboot(2). */
export enum REBOOT {
  MAGIC1 = 0xfee1dead,
  MAGIC2 = 0x28121969,
  POWER_OFF = 0x4321fedc,
}
