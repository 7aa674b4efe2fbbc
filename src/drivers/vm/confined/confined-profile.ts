import { CLONE } from "../../../linux/call/constants";
import type { Seccomp } from "../../../oci/config";
import { NATIVE } from "../../../oci/seccomp-words";
import { defaultProfile } from "../../../seccomp/default-profile";

/**
 * Calls of the default profile that neither QEMU nor virtiofsd makes: all their sockets are given to them, they look at no other process, trace
 * none, and share no memory but by descriptors. Programs in machines' emulators are for one architecture.
 */
const NOT_MADE = new Set(
  `socket bind connect ptrace process_vm_readv process_vm_writev process_mrelease pidfd_open pidfd_send_signal kcmp
  ipc mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink msgctl msgget msgrcv msgsnd semctl semget semop
  semtimedop shmat shmctl shmdt shmget personality modify_ldt adjtimex clock_adjtime fanotify_mark
  landlock_add_rule landlock_create_ruleset landlock_restrict_self memfd_secret uretprobe listmount statmount`.split(
    /\s+/,
  ),
);
/**
 * What a confined program may call: no new namespaces and mounts, no file but by its name, no keys, no device of the kernel's own language (bpf,
 * io_uring, perf).
 */
export function confinedProfile(native = NATIVE): Seccomp {
  const { syscalls = [], ...rest } = defaultProfile(["CAP_SYS_CHROOT"], native);
  const rules = syscalls
    .map((rule) => ({ ...rule, names: rule.names.filter((name) => !NOT_MADE.has(name)) }))
    .filter(({ names }) => names.length > 0);
  // virtiofsd's threads have a working directory and a umask each
  const ownDirectory = { index: 0, op: "SCMP_CMP_EQ", value: CLONE.FS, valueTwo: 0 } as const;
  return {
    ...rest,
    architectures: [native],
    syscalls: [...rules, { names: ["unshare"], action: "SCMP_ACT_ALLOW", args: [ownDirectory] }],
  };
}
