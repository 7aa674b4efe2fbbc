import { didYouMean, nearestWord } from "../base/nearest";
import type { Problem, Seccomp } from "../oci/config";
import { ACTIONS, type Action } from "../oci/seccomp-words";
import { FOREIGN_SYSCALLS } from "./foreign-syscalls";
import { SYSCALLS } from "./syscalls";

/** The place of an action in the kernel's order, as a signed number: the strictest action is the least (kernel/seccomp.c, ACTION_ONLY). */
function rank(action: Action): number {
  return ACTIONS[action].value | 0;
}

/**
 * Calls with names that hako does not know, and that a profile forbids, or treats more strictly than others: mistyped ones, or calls
 * newer than this hako. A program could make such a call all the same. Unknown names in what is allowed take nothing away.
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

/** A name in a profile that is a call of no architecture: hako's table may be older than the profile, or the name is mistyped. */
interface UnknownCall {
  row: number;
  name: string;
  /** The pointer, from the profile on. */
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
