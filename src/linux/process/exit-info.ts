import type { Fd } from "../call/fd";
import { trySyscall } from "../call/syscall";

/** PIDFD_GET_INFO of linux/pidfd.h, with the first version of struct pidfd_info: _IOWR(0xff, 11, 64 bytes). */
const PIDFD_GET_INFO = 0xc040ff0b;
const INFO_SIZE = 64;
/** Asked for, and there in what comes back when the process was reaped: Linux 6.15. */
const PIDFD_INFO_EXIT = 0x8;
const EXIT_CODE_AT = 60;

/**
 * How the process of a pidfd ended, as wait4(2) would say it. undefined before somebody has reaped the process, of what is no pidfd, and where
 * the kernel keeps no status (before Linux 6.15).
 */
export function exitInfo(pidfd: Fd): number | undefined {
  const info = new Uint32Array(INFO_SIZE / 4);
  info[0] = PIDFD_INFO_EXIT;
  const result = trySyscall("ioctl", pidfd.number, PIDFD_GET_INFO, info);
  if (result < 0 || ((info[0] ?? 0) & PIDFD_INFO_EXIT) === 0) return undefined;
  return info[EXIT_CODE_AT / 4];
}
