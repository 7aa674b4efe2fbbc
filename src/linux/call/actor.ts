import type { CloneSyscall, Step, SyscallArgument, Walk } from "./step";
import type { SyscallName } from "./syscall-numbers";

/**
 * Who makes system calls in place of this thread. Modules ask for calls as ever: what they decide in this process is done in
 * another one, with that one's namespaces, root directory, identity and descriptors.
 */
export interface Actor {
  /** Makes a system call, again after EINTR; its result, or -errno. */
  call(name: SyscallName, args: readonly SyscallArgument[]): number;
  /** Makes the steps' system calls, one right after the other, up to the first that fails. */
  walk(steps: readonly Step[]): Walk;
  /**
   * Makes a child that makes the steps, and writes a failure to the descriptor `report`; the actor waits until the child has
   * executed a program or has ended. The child's pid as the actor sees it, or -errno.
   */
  clone(call: CloneSyscall, steps: readonly Step[], report: number, first: number): number;
}

let current: Actor | undefined;

/** Who acts; undefined if it is this thread itself. */
export function currentActor(): Actor | undefined {
  return current;
}

/** Does something with another one acting. */
export function actAs<T>(actor: Actor | undefined, action: () => T): T {
  const before = current;
  current = actor;
  try {
    return action();
  } finally {
    current = before;
  }
}

/** Does something with this thread acting, whoever acts around it: lines of the log, for one. */
export function actHere<T>(action: () => T): T {
  return actAs(undefined, action);
}
