import { during, HakoError } from "../errors";
import { writeValueTo } from "../linux/file";
import { NAMESPACE_FLAGS } from "../linux/namespace";
import { syscallOn } from "../linux/syscall";
import { kernelRelease } from "../linux/uname";
import type { Linux } from "../oci/config";

/** The first Linux whose execve enters a time namespace that was unshared (fs/exec.c). */
const FIRST = [6, 1] as const;

/**
 * Makes the time namespace of the program, with the offsets of its clocks (time_namespaces(7)): this process's children
 * are in it, and itself when it executes the program. The host's procfs must still be there.
 */
export function makeTimeNamespace(offsets: Linux["timeOffsets"]): void {
  const [major = 0, minor = 0] = kernelRelease();
  if (major < FIRST[0] || (major === FIRST[0] && minor < FIRST[1])) {
    throw new HakoError({ code: "unsupported", message: "a time namespace needs linux 6.1" });
  }
  syscallOn("time namespace", "unshare", NAMESPACE_FLAGS.time);
  for (const [clock, { secs, nanosecs }] of Object.entries(offsets ?? {})) {
    during(`config /linux/timeOffsets/${clock}`, () =>
      writeValueTo("/proc/self/timens_offsets", `${clock} ${secs} ${nanosecs}\n`),
    );
  }
}
