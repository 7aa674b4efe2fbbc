import { HakoError } from "../errors";
import { linkText } from "../linux/file";

/** What the caller hands to the container's program beside standard streams. */
export interface Inheritance {
  /** How many descriptors from 3 on. */
  preserveFds: number;
  /** Lines of the environment that tell of them. */
  environment: string[];
}

/**
 * `--preserve-fds N` and the descriptors of socket activation (sd_listen_fds(3)), which come first, as with runc. A number
 * that the caller has not opened may be one of our own by now: it is refused.
 */
export function inheritance(preserve: string, environment: NodeJS.ProcessEnv): Inheritance {
  const asked = count("--preserve-fds", preserve);
  const listen = environment.LISTEN_FDS === undefined ? 0 : count("LISTEN_FDS", environment.LISTEN_FDS);
  const lines: string[] = [];
  if (listen > 0) {
    lines.push(`LISTEN_FDS=${listen}`, "LISTEN_PID=1");
    if (environment.LISTEN_FDNAMES) lines.push(`LISTEN_FDNAMES=${environment.LISTEN_FDNAMES}`);
  }
  const preserveFds = asked + listen;
  for (let fd = 3; fd < 3 + preserveFds; fd++) {
    if (isOpenByCaller(fd)) continue;
    throw new HakoError({
      code: "usage",
      message: `--preserve-fds: descriptor ${fd} is not open`,
      hint: "the descriptors from 3 on must be opened by the caller, without gaps",
    });
  }
  return { preserveFds, environment: lines };
}

/** Where a service manager wants to hear that the program is ready (sd_notify(3)). */
export function notifySocket(): string | undefined {
  return process.env.NOTIFY_SOCKET || undefined;
}

/** Bun's own descriptors fill the first gap, its event loop's epoll before any other. */
export function isOpenByCaller(fd: number): boolean {
  try {
    return linkText(`/proc/self/fd/${fd}`) !== "anon_inode:[eventpoll]";
  } catch {
    return false;
  }
}

function count(what: string, text: string): number {
  if (!/^\d{1,5}$/.test(text)) {
    throw new HakoError({ code: "usage", message: `${what}: ${JSON.stringify(text)} is not a number` });
  }
  return Number(text);
}
