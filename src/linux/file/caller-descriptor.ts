import { HakoError } from "../../base/errors";
import { F, O } from "../call/constants";
import { Fd } from "../call/fd";
import { syscallOn } from "../call/syscall";
import { linkText } from "./file";

/** A descriptor that the caller has opened and names by its number, to be read or written: a duplicate that no program inherits. */
export function callerDescriptor(digits: string, use: "read" | "write"): Fd {
  const number = Number(digits);
  if (!isOpenByCaller(number)) throw new HakoError({ code: "system", message: "the descriptor is not open" });
  const mode = syscallOn(digits, "fcntl", number, F.GETFL, 0) & O.ACCMODE;
  if (mode === (use === "write" ? O.RDONLY : O.WRONLY)) {
    const other = use === "write" ? "reading" : "writing";
    throw new HakoError({ code: "system", message: `the descriptor is open for ${other} alone` });
  }
  return new Fd(syscallOn(digits, "fcntl", number, F.DUPFD_CLOEXEC, 0), `descriptor ${digits}`);
}

/** Whether the caller has opened a descriptor. Bun's first descriptor, an epoll, lies in the first gap that the caller left. */
export function isOpenByCaller(fd: number): boolean {
  try {
    return linkText(`/proc/self/fd/${fd}`) !== "anon_inode:[eventpoll]";
  } catch {
    return false;
  }
}
