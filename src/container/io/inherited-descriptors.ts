import { during, HakoError } from "../../base/errors";
import type { Fd } from "../../linux/call/fd";
import { callerDescriptor, isOpenByCaller } from "../../linux/file/caller-descriptor";
import { callerVariable } from "../../linux/file/caller-environment";
import { linkText } from "../../linux/file/file";
import { fileStatusOf } from "../../linux/file/stat";
import type { EnvironmentLine } from "../../oci/environment";

const NUMBER = /^\d{1,5}$/;

/** What the container's program inherits from the caller beside standard streams. */
export interface InheritedDescriptors {
  /** How many descriptors from 3 on. */
  preserveFds: number;
  /** Lines of the environment that describe the descriptors. */
  environment: EnvironmentLine[];
}

/**
 * The descriptors of socket activation (sd_listen_fds(3)) and of `--preserve-fds N`, in this order, as with runc. Those of socket activation
 * are meant for this process if LISTEN_PID is its pid. A number that the caller has not opened is refused: by now it may be a descriptor of hako's.
 */
export function inheritedDescriptors(
  preserve: string,
  variable: (name: string) => string | undefined = () => undefined,
  pid = process.pid,
): InheritedDescriptors {
  if (!NUMBER.test(preserve)) {
    const message = `--preserve-fds: ${JSON.stringify(preserve)} is not a number`;
    throw new HakoError({ code: "usage", message });
  }
  const fds = variable("LISTEN_FDS") ?? "";
  const listen = variable("LISTEN_PID") === String(pid) && NUMBER.test(fds) ? Number(fds) : 0;
  const lines: EnvironmentLine[] = [];
  if (listen > 0) {
    lines.push(`LISTEN_FDS=${listen}`, "LISTEN_PID=1");
    const names = variable("LISTEN_FDNAMES");
    if (names) lines.push(`LISTEN_FDNAMES=${names}`);
  }
  const preserveFds = Number(preserve) + listen;
  for (let fd = 3; fd < 3 + preserveFds; fd++) {
    if (isOpenByCaller(fd)) continue;
    throw new HakoError({
      code: "system",
      message: `${fd < 3 + listen ? "LISTEN_FDS" : "--preserve-fds"}: descriptor ${fd} is not open`,
      hint: "the descriptors from 3 on must be opened by the caller, without gaps",
    });
  }
  return { preserveFds, environment: lines };
}

/** What a lifeline is by its link in /proc: that of a pidfd is another one since Linux 6.9 (pidfs). */
const LIFELINE = /^(?:pipe:|socket:|pidfd:|anon_inode:\[pidfd\])/;

/** The descriptor of `--die-with`: a pipe's, a socket's or a process's, whose end poll(2) tells. */
export function callerLifeline(digits: string): Fd {
  return during(`--die-with ${digits}`, () => {
    if (!/^\d+$/.test(digits)) throw HakoError.usage("it is not the number of a descriptor");
    const lifeline = callerDescriptor(digits, "read");
    try {
      if (
        LIFELINE.test(linkText(`/proc/self/fd/${lifeline.number}`)) ||
        fileStatusOf(lifeline).type === "fifo"
      )
        return lifeline;
      throw new HakoError({ code: "system", message: "the descriptor is no pipe, socket or pidfd" });
    } catch (error) {
      lifeline.close();
      throw error;
    }
  });
}

/** Where a service manager wants to hear that the program is ready (sd_notify(3)). */
export function callerNotifySocket(): string | undefined {
  return callerVariable("NOTIFY_SOCKET") || undefined;
}
