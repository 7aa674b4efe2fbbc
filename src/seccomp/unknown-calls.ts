import { didYouMean, nearestWord } from "../base/nearest";
import type { Problem, Seccomp } from "../oci/config";
import { ACTIONS, type Action } from "../oci/seccomp-words";
import { FOREIGN_SYSCALLS } from "./foreign-syscalls";
import { SYSCALLS } from "./syscalls";

/** The kernel's order of answers, the strictest first: as signed numbers (kernel/seccomp.c, ACTION_ONLY). */
function rank(action: Action): number {
  return ACTIONS[action].value | 0;
}

/**
 * Calls that a profile forbids, or does more about than about others, whose names hako doesn't know: typing errors, or newer than
 * this hako. Such a call can be made all the same. Names that nobody knows in what is allowed take nothing away.
 */
export function unknownForbidden(profile: Seccomp): Problem[] {
  const { defaultAction, syscalls = [] } = profile;
  return unknownCalls(profile)
    .filter(({ row }) => rank(syscalls[row]?.action ?? defaultAction) < rank(defaultAction))
    .map(({ name, pointer }) => {
      const meant = didYouMean(nearestWord(name, Object.keys(SYSCALLS)));
      const message = `unknown system call ${JSON.stringify(name)}, which nothing forbids then${meant}`;
      return { pointer, message };
    });
}

/** A name of a profile that no architecture has: hako's table may be older than the profile, or it is a typing error. */
interface UnknownCall {
  row: number;
  name: string;
  /** From the profile on. */
  pointer: string;
}

export function unknownCalls({ syscalls = [] }: Seccomp): UnknownCall[] {
  return syscalls.flatMap(({ names }, row) =>
    names.flatMap((name, index) =>
      Object.hasOwn(SYSCALLS, name) || FOREIGN_SYSCALLS.has(name)
        ? []
        : [{ row, name, pointer: `/syscalls/${row}/names/${index}` }],
    ),
  );
}
