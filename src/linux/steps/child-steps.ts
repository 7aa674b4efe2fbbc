import { errnoHint } from "../../base/errno-hints";
import type { Memory } from "../call/argument-memory";
import { bytesOf } from "../call/bytes";
import { AT, CLOSE_RANGE, F, O } from "../call/constants";
import type { Fd } from "../call/fd";
import type { Step } from "../call/step";

/**
 * Makes the process the user that makes things in its user namespace, root as a rule, and without additional groups unless it
 * keeps them.
 */
export function ownerSteps(keepsGroups: boolean, { uid, gid }: { uid: number; gid: number }): Step[] {
  // it may be forbidden there (user_namespaces(7))
  const leave: Step = { what: "setgroups", call: "setgroups", args: [0, 0], success: { or: "EPERM" } };
  return [...(keepsGroups ? [] : [leave]), becomeStep("setresgid", gid), becomeStep("setresuid", uid)];
}

function becomeStep(call: "setresgid" | "setresuid", id: number): Step {
  const hint = (errno: string | undefined) => errnoHint("become a user of the user namespace", errno, { id });
  return { what: `${call} ${id} in the user namespace`, call, args: [id, id, id], hint };
}

export function closeStep(fd: Fd): Step {
  return { what: `close ${fd.number}`, call: "close", args: [fd.number] };
}

/** Leaves a descriptor open at the next execve. */
export function keepStep(fd: number): Step {
  return { what: `keep descriptor ${fd}`, call: "fcntl", args: [fd, F.SETFD, 0] };
}

/** Gives a descriptor another number too, a standard stream's as a rule; errors call it `what`. */
export function replaceStep(what: string, number: number, fd: Fd): Step {
  return { what: `${what}: dup3`, call: "dup3", args: [fd.number, number, 0] };
}

/** Closes all descriptors at the next execve but standard streams, the caller's from 3 on, and those of `keep`. */
export function inheritSteps(preserveFds: number, keep: readonly Fd[]): Step[] {
  const inherited = Array.from({ length: preserveFds }, (_, index) => 3 + index);
  return [
    {
      what: "close_range of foreign descriptors",
      call: "close_range",
      args: [3 + preserveFds, 0xffffffff, CLOSE_RANGE.CLOEXEC],
    },
    ...[...inherited, ...keep.map((fd) => fd.number)].map(keepStep),
  ];
}

/**
 * Writes a value to a file whose path is trusted, in one write(2). `number` is the lowest free descriptor of the process that
 * makes the steps.
 */
export function writeSteps(
  path: string,
  text: string,
  number: number,
  rest: Omit<Step, "call" | "args">,
): Step[] {
  const bytes = bytesOf(text);
  return [
    { ...rest, call: "openat", args: [AT.FDCWD, path, O.WRONLY, 0], success: { exactly: number } },
    { ...rest, call: "write", args: [number, bytes, bytes.length] },
    { ...rest, call: "close", args: [number] },
  ];
}

/** Executes a program that lies in memory, by its descriptor. */
export function executeStep(program: Fd, argv: Memory, environment: Memory): Step {
  return {
    what: `execveat ${program.name}`,
    call: "execveat",
    args: [program.number, "", argv, environment, AT.EMPTY_PATH],
  };
}
