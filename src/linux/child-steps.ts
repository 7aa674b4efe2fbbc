import type { Fd } from "./fd";
import { stringVector } from "./memory";
import type { Step } from "./steps";

const AT_EMPTY_PATH = 0x1000;
const CLOSE_RANGE_CLOEXEC = 4;
const F_SETFD = 2;

/** Becomes the root of the user namespace that it is in. */
export function ownerSteps(): Step[] {
  return [
    { what: "setgroups", call: "setgroups", args: [0, 0], optional: true },
    { what: "setresgid 0 in the user namespace", call: "setresgid", args: [0, 0, 0] },
    { what: "setresuid 0 in the user namespace", call: "setresuid", args: [0, 0, 0] },
  ];
}

/** Closes all descriptors at the next execve but standard streams, the caller's from 3 on, and those of `keep`. */
export function inheritSteps(preserveFds: number, keep: readonly Fd[]): Step[] {
  const inherited = Array.from({ length: preserveFds }, (_, index) => 3 + index);
  return [
    {
      what: "close_range of foreign descriptors",
      call: "close_range",
      args: [3 + preserveFds, 0xffffffff, CLOSE_RANGE_CLOEXEC],
    },
    ...[...inherited, ...keep.map((fd) => fd.number)].map(
      (fd): Step => ({ what: `keep descriptor ${fd}`, call: "fcntl", args: [fd, F_SETFD, 0] }),
    ),
  ];
}

/** Executes a program of ours by its descriptor. */
export function executeStep(program: Fd, args: readonly string[], environment: readonly string[]): Step {
  return {
    what: "execveat of hako",
    call: "execveat",
    args: [program.number, "", stringVector(args), stringVector(environment), AT_EMPTY_PATH],
  };
}
