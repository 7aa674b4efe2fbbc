import { HakoError } from "../../../base/errors";
import { bytesOf } from "../../../linux/call/bytes";
import { AT, O } from "../../../linux/call/constants";
import type { Step } from "../../../linux/call/step";
import { perform } from "../../../linux/call/walk";
import { kernelRelease } from "../../../linux/kernel/uname";
import { NAMESPACE_FLAGS } from "../../../linux/process/namespace";
import type { Linux } from "../../../oci/config";

const OFFSETS = "/proc/self/timens_offsets";
/** From here on execve enters a time namespace that was unshared (fs/exec.c, exec_task_namespaces). */
const FIRST = [6, 3] as const;
/** The descriptor by which standard input is kept meanwhile. */
const SPARE = 1000;

function lines(offsets: Linux["timeOffsets"]): string {
  return Object.entries(offsets ?? {})
    .map(([clock, { secs, nanosecs }]) => `${clock} ${secs} ${nanosecs}\n`)
    .join("");
}

/**
 * Makes a time namespace with the offsets of its clocks (time_namespaces(7)). Whoever makes these system calls stays outside: its
 * children are in there. The file of offsets is opened as descriptor 0, the one number that is known before, so standard input is
 * put aside meanwhile.
 */
export function timeSteps(offsets: Linux["timeOffsets"]): Step[] {
  const text = bytesOf(lines(offsets));
  const what = "config /linux/timeOffsets";
  const unshare: Step = { what: "unshare (time namespace)", call: "unshare", args: [NAMESPACE_FLAGS.time] };
  if (text.length === 0) return [unshare];
  return [
    unshare,
    { what, call: "dup3", args: [0, SPARE, 0], success: "anything" },
    { what, call: "close", args: [0], success: "anything" },
    {
      what: `${what}: open`,
      call: "openat",
      args: [AT.FDCWD, OFFSETS, O.WRONLY, 0],
      success: { exactly: 0 },
    },
    { what: `${what}: write`, call: "write", args: [0, text, text.length] },
    { what, call: "close", args: [0] },
    { what, call: "dup3", args: [SPARE, 0, 0], success: "anything" },
    { what, call: "close", args: [SPARE], success: "anything" },
  ];
}

/**
 * Makes the time namespace of an ordinary user's container, whose own process has the right to, in its user namespace. That process
 * is in there itself when it has executed its program. The host's procfs must still be there.
 */
export function makeTimeNamespace(offsets: Linux["timeOffsets"]): void {
  const [major = 0, minor = 0] = kernelRelease();
  if (major < FIRST[0] || (major === FIRST[0] && minor < FIRST[1])) {
    const message = `a time namespace of an ordinary user needs linux ${FIRST.join(".")}`;
    throw new HakoError({ code: "unsupported", message });
  }
  perform(timeSteps(offsets));
}
