import type { Memory } from "../call/argument-memory";
import { MSG } from "../call/constants";
import type { Fd } from "../call/fd";
import type { Step } from "../call/step";
import { descriptorMessage } from "../file/descriptor-passing";
import { linkText } from "../file/file";

const SET_MODE_FILTER = 1;
const FLAG_NEW_LISTENER = 1 << 3;
const FLAG_WAIT_KILLABLE_RECV = 1 << 5;
const INSTRUCTION_SIZE = 8;

/**
 * Calls that can pass a filter's listener on. The filter is in force by then, and a call that it notifies would wait for an
 * answer of the very process that is to get the listener.
 */
export const PASSING_CALLS = ["sendmsg", "sendmmsg"] as const;

/** A compiled seccomp filter (seccomp(2)). */
export interface SeccompFilter {
  /** struct sock_filter. */
  program: Uint8Array;
  /** SECCOMP_FILTER_FLAG_* */
  flags: number;
  /** What its listener is passed on with, if it has one. */
  passedBy: (typeof PASSING_CALLS)[number];
}

const PASSING_ARGUMENTS = {
  sendmsg: (socket: number, message: Memory) => [socket, message, MSG.NOSIGNAL],
  sendmmsg: (socket: number, message: Memory) => [socket, message, 1, MSG.NOSIGNAL],
} as const;

/** Whether the filter has a listener, which somebody must take. */
export function hasListener({ flags }: SeccompFilter): boolean {
  return (flags & FLAG_NEW_LISTENER) !== 0;
}

/** Whether a descriptor is some filter's listener: no file has such a name, as names of files begin with "/". */
export function isListener(fd: Fd): boolean {
  return linkText(fd.path) === "anon_inode:seccomp notify";
}

/** A filter without its listener: the calls that it would notify fail with ENOSYS (seccomp(2)). */
export function withoutListener(filter: SeccompFilter): SeccompFilter {
  return { ...filter, flags: filter.flags & ~(FLAG_NEW_LISTENER | FLAG_WAIT_KILLABLE_RECV) };
}

/**
 * The system calls that put a filter into force. Its listener, whose number is `free`, the lowest one, goes to the peer of
 * `socket`, who answers with a byte. Then `last` takes the capability away that was kept for it. They are made together with
 * execve: a filter need not allow what JavaScript does.
 */
export function filterSteps(filter: SeccompFilter, socket: Fd, last: Step | undefined, free = 0): Step[] {
  const { program, flags, passedBy } = filter;
  /** struct sock_fprog */
  const header = {
    bytes: new BigUint64Array([BigInt(program.length / INSTRUCTION_SIZE), 0n]),
    pointers: [[8, program]],
  } as const;
  const listener = hasListener(filter) ? free : 0;
  const steps: Step[] = [
    {
      what: "config /linux/seccomp: seccomp",
      call: "seccomp",
      args: [SET_MODE_FILTER, flags, header],
      success: { exactly: listener },
    },
  ];
  if (hasListener(filter)) {
    steps.push(
      {
        what: "pass on the seccomp listener",
        call: passedBy,
        args: PASSING_ARGUMENTS[passedBy](socket.number, descriptorMessage(listener)),
      },
      {
        what: "wait for who takes the seccomp listener",
        call: "read",
        args: [socket.number, new Uint8Array(1), 1],
        success: { atLeast: 1 },
      },
    );
  }
  if (last !== undefined) steps.push({ ...last, what: `${last.what} under the seccomp profile` });
  return steps;
}
