import { errnoNumber } from "../base/errno";
import { NAMESPACE_FLAGS } from "../linux/process/namespace";
import type { Seccomp } from "../oci/config";
import { NATIVE } from "../oci/seccomp-words";

/**
 * The profile of `hako run --rootfs`: what ordinary programs call, and nothing that reaches past namespaces and capabilities.
 *
 * - It allows what docker's does, but for calls that reach past a container's network, make new user namespaces, or had most holes in
 *   the last years: io_uring, bpf, keys of the kernel.
 * - Other calls get EPERM; calls that are newer than the newest one here get ENOSYS.
 * - socketcall(2) of 32-bit x86 is refused too: its arguments are in memory, where no filter can look.
 */

/** Calls that every program may make. */
const ALLOWED: Readonly<Record<string, string>> = {
  "files by descriptor": `
    _llseek cachestat close close_range copy_file_range dup dup2 dup3 fadvise64 fadvise64_64 arm_fadvise64_64 fallocate
    fcntl fcntl64 fdatasync flock fsync ftruncate ftruncate64 getdents getdents64 ioctl lseek pread64 preadv preadv2
    pwrite64 pwritev pwritev2 read readahead readv sendfile sendfile64 splice sync sync_file_range arm_sync_file_range
    syncfs tee vmsplice write writev`,
  "files by name": `
    access chdir chmod chown chown32 creat faccessat faccessat2 fchdir fchmod fchmodat fchmodat2 fchown fchown32 fchownat
    fstat fstat64 fstatat64 fstatfs fstatfs64 futimesat getcwd lchown lchown32 link linkat lstat lstat64 mkdir mkdirat
    mknod mknodat name_to_handle_at newfstatat open openat openat2 readlink readlinkat rename renameat renameat2 rmdir
    stat stat64 statfs statfs64 statx symlink symlinkat truncate truncate64 umask unlink unlinkat utime utimensat
    utimensat_time64 utimes listmount statmount`,
  "extended attributes": `
    fgetxattr flistxattr fremovexattr fsetxattr getxattr getxattrat lgetxattr listxattr listxattrat llistxattr
    lremovexattr lsetxattr removexattr removexattrat setxattr setxattrat`,
  "waiting for files": `
    _newselect epoll_create epoll_create1 epoll_ctl epoll_ctl_old epoll_pwait epoll_pwait2 epoll_wait epoll_wait_old
    eventfd eventfd2 fanotify_mark inotify_add_watch inotify_init inotify_init1 inotify_rm_watch poll ppoll ppoll_time64
    pselect6 pselect6_time64 select io_cancel io_destroy io_getevents io_pgetevents io_pgetevents_time64 io_setup
    io_submit`,
  memory: `
    brk madvise map_shadow_stack membarrier memfd_create memfd_secret mincore mlock mlock2 mlockall mmap mmap2 mprotect
    mremap mseal msync munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages`,
  processes: `
    capget capset execve execveat exit exit_group fork getcpu getpgid getpgrp getpid getppid getpriority getrlimit
    getrusage getsid gettid ioprio_get ioprio_set kill landlock_add_rule landlock_create_ruleset landlock_restrict_self
    pidfd_open pidfd_send_signal prctl prlimit64 process_mrelease process_vm_readv process_vm_writev ptrace seccomp
    setpgid setpriority setrlimit setsid sysinfo tgkill times tkill ugetrlimit uname uretprobe vfork wait4 waitid waitpid`,
  users: `
    getegid getegid32 geteuid geteuid32 getgid getgid32 getgroups getgroups32 getresgid getresgid32 getresuid getresuid32
    getuid getuid32 setfsgid setfsgid32 setfsuid setfsuid32 setgid setgid32 setgroups setgroups32 setregid setregid32
    setresgid setresgid32 setresuid setresuid32 setreuid setreuid32 setuid setuid32`,
  threads: `
    futex futex_requeue futex_time64 futex_wait futex_waitv futex_wake get_robust_list get_thread_area rseq
    set_robust_list set_thread_area set_tid_address set_tls cacheflush breakpoint arch_prctl modify_ldt`,
  scheduling: `
    sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr sched_getparam sched_getscheduler
    sched_rr_get_interval sched_rr_get_interval_time64 sched_setaffinity sched_setattr sched_setparam
    sched_setscheduler sched_yield`,
  signals: `
    pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn rt_sigsuspend
    rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo sigaltstack signalfd signalfd4 sigprocmask sigreturn`,
  time: `
    adjtimex alarm clock_adjtime clock_adjtime64 clock_getres clock_getres_time64 clock_gettime clock_gettime64
    clock_nanosleep clock_nanosleep_time64 getitimer gettimeofday nanosleep setitimer time timer_create timer_delete
    timer_getoverrun timer_gettime timer_gettime64 timer_settime timer_settime64 timerfd_create timerfd_gettime
    timerfd_gettime64 timerfd_settime timerfd_settime64 getrandom`,
  "pipes and queues": `
    ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedreceive_time64 mq_timedsend mq_timedsend_time64 mq_unlink
    msgctl msgget msgrcv msgsnd pipe pipe2 semctl semget semop semtimedop semtimedop_time64 shmat shmctl shmdt shmget`,
  "sockets that are there": `
    accept accept4 bind connect getpeername getsockname getsockopt listen recv recvfrom recvmmsg recvmmsg_time64 recvmsg
    send sendmmsg sendmsg sendto setsockopt shutdown`,
};

/** Calls that a capability allows, as with docker. */
const BY_CAPABILITY: Readonly<Record<string, string>> = {
  CAP_DAC_READ_SEARCH: "open_by_handle_at",
  CAP_PERFMON: "perf_event_open",
  CAP_SYS_ADMIN: `
    fanotify_init fsconfig fsmount fsopen fspick lookup_dcookie lsm_get_self_attr lsm_list_modules lsm_set_self_attr mount
    mount_setattr move_mount open_tree perf_event_open quotactl quotactl_fd setdomainname sethostname syslog umount
    umount2`,
  CAP_SYS_BOOT: "reboot",
  CAP_SYS_CHROOT: "chroot",
  CAP_SYS_MODULE: "delete_module finit_module init_module",
  CAP_SYS_NICE: "get_mempolicy mbind set_mempolicy set_mempolicy_home_node",
  CAP_SYS_PACCT: "acct",
  CAP_SYS_PTRACE: "kcmp pidfd_getfd process_madvise",
  CAP_SYS_RAWIO: "ioperm iopl",
  CAP_SYS_TIME: "clock_settime clock_settime64 settimeofday stime",
  CAP_SYS_TTY_CONFIG: "vhangup",
  CAP_SYSLOG: "syslog",
};

/** Calls that get ENOSYS: programs have, and then take, another way. */
const NOT_THERE = "clone3 io_uring_enter io_uring_register io_uring_setup";

/** The CLONE_NEW* bits that clone(2) takes (linux/sched.h), and that of user namespaces. */
const CLONE_NEW_NAMESPACES = 0x7e020000;
const CLONE_NEWUSER = NAMESPACE_FLAGS.user;

/**
 * AF_* (linux/socket.h) of unix sockets, IPv4, IPv6, netlink and packets: a network namespace contains them. AF_VSOCK reaches the
 * machine's host from every namespace, and AF_ALG the kernel's cryptography. The kernel looks at 32 bits of the argument.
 */
const SOCKET_FAMILIES = [1, 2, 10, 16, 17];
const SOCKETPAIR_FAMILIES = [1];
const LOW_HALF = 0xffffffff;

/** What personality(2) may be asked for: Linux, 32 bits, an old version number, and the present value. */
const PERSONALITIES = [0, 0x8, 0x20000, 0x20008, 0xffffffff];

type Rule = NonNullable<Seccomp["syscalls"]>[number];
type Argument = NonNullable<Rule["args"]>[number];

function words(text: string): string[] {
  return text.trim().split(/\s+/);
}

function allow(names: readonly string[], ...args: Argument[]): Rule {
  return { names: [...names], action: "SCMP_ACT_ALLOW", args };
}

/** A condition: the bits of an argument in `mask` are those of `bits`. */
function has(index: number, mask: number, bits: number): Argument {
  return { index, op: "SCMP_CMP_MASKED_EQ", value: mask, valueTwo: bits };
}

/** New namespaces need CAP_SYS_ADMIN. User namespaces are for nobody: in one, everybody would have that capability. */
function namespaceRules(administrator: boolean): Rule[] {
  if (!administrator) return [allow(["clone"], has(0, CLONE_NEW_NAMESPACES, 0))];
  return [allow(["clone", "unshare"], has(0, CLONE_NEWUSER, 0)), allow(["setns"], has(1, CLONE_NEWUSER, 0))];
}

/** The capabilities of a program that make a difference to the profile. */
export function relevantCapabilities(capabilities: readonly string[]): string[] {
  return Object.keys(BY_CAPABILITY).filter((name) => capabilities.includes(name));
}

/** The profile for a program with these capabilities, on a machine with the architecture `native`. */
export function defaultProfile(capabilities: readonly string[], native = NATIVE): Seccomp {
  const given = relevantCapabilities(capabilities);
  const always = Object.values(ALLOWED).flatMap(words);
  const more = given.flatMap((name) => words(BY_CAPABILITY[name] ?? ""));
  return {
    defaultAction: "SCMP_ACT_ERRNO",
    defaultErrnoRet: errnoNumber("EPERM"),
    architectures:
      native === "SCMP_ARCH_AARCH64" ? [native, "SCMP_ARCH_ARM"] : ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
    syscalls: [
      allow([...always, ...more]),
      { names: words(NOT_THERE), action: "SCMP_ACT_ERRNO", errnoRet: errnoNumber("ENOSYS") },
      ...namespaceRules(capabilities.includes("CAP_SYS_ADMIN")),
      ...SOCKET_FAMILIES.map((family) => allow(["socket"], has(0, LOW_HALF, family))),
      ...SOCKETPAIR_FAMILIES.map((family) => allow(["socketpair"], has(0, LOW_HALF, family))),
      ...PERSONALITIES.map((value) => allow(["personality"], has(0, LOW_HALF, value))),
    ],
  };
}
