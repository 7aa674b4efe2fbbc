import { HakoError } from "../base/errors";
import type { CgroupRecord } from "../cgroup";
import { memoryShortage } from "../cgroup/stats/shortage";
import { SIG } from "../linux/call/constants";
import type { Explanation } from "./execution";

/** What is known about the end of a container's process that died before it executed its program. */
export interface End {
  /** The signal that ended the process; undefined if no signal did, or nobody knows. */
  signal: number | undefined;
  cgroup: CgroupRecord | undefined;
}

/** The error of a process that ended before it could execute its program. */
export function deathError(message: string, end: End): HakoError {
  const { why, hint } = explainEnd(end);
  return new HakoError({ code: "state", message: why === undefined ? message : `${message}: ${why}`, hint });
}

/** Why such a process ended without an error of its own. */
export function explainEnd({ signal, cgroup }: End): Explanation {
  const short = cgroup === undefined ? undefined : memoryShortage(cgroup);
  if (short !== undefined) {
    const name = short.file.includes("memsw") ? "swap" : "limit";
    const field = short.of === "container" ? `config /linux/resources/memory/${name}: ` : "";
    // the kernel counts whole pages
    const limit = short.limit === "0" ? "less than a page" : `${short.limit} bytes`;
    return {
      why: `${field}out of memory: it reached the limit of ${limit} in ${short.file} of cgroup ${short.cgroup}`,
      hint: "raise the limit",
    };
  }
  if (signal === SIG.SYS) {
    return {
      why: "a seccomp filter killed it",
      hint: "/linux/seccomp forbids it to tell why the program can't be executed (write), or the filter of a container that hako runs in forbids what hako does",
    };
  }
  if (signal !== SIG.KILL && signal !== undefined) return {};
  return { hint: "somebody killed it, or the host ran out of memory: see the kernel's log (dmesg)" };
}
