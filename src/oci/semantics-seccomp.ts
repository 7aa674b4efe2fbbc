import { PASSING_CALLS } from "../linux/process/filter-steps";
import type { Config, Problem } from "./config";
import { ACTIONS, type Action } from "./seccomp-words";

const BASE = "/linux/seccomp";

/** Checks a seccomp profile, beyond the types of its fields. */
export function seccompProblems({ linux }: Pick<Config, "linux">): Problem[] {
  const profile = linux?.seccomp;
  if (profile === undefined) return [];
  const problems: Problem[] = [];
  const wrong = (pointer: string, message: string) =>
    problems.push({ pointer: `${BASE}${pointer}`, message });
  const checkNumber = (pointer: string, action: Action, given: number | undefined) => {
    const most = ACTIONS[action].data;
    if (given === undefined || (most !== undefined && given <= most)) return;
    wrong(
      pointer,
      most === undefined ? `${action} takes no number` : `expected a number from 0 to ${most}, got ${given}`,
    );
  };
  checkNumber("/defaultErrnoRet", profile.defaultAction, profile.defaultErrnoRet);
  if (profile.defaultAction === "SCMP_ACT_NOTIFY") {
    wrong("/defaultAction", "SCMP_ACT_NOTIFY can't be the default: nobody could start the program");
  }
  if (profile.listenerMetadata && !profile.listenerPath) wrong("/listenerMetadata", "needs listenerPath");
  const unnotified = new Set<string>(PASSING_CALLS);
  (profile.syscalls ?? []).forEach(({ names, action, errnoRet }, index) => {
    checkNumber(`/syscalls/${index}/errnoRet`, action, errnoRet);
    if (action !== "SCMP_ACT_NOTIFY") return;
    if (!profile.listenerPath) wrong(`/syscalls/${index}/action`, "SCMP_ACT_NOTIFY needs listenerPath");
    names.forEach((name, at) => {
      if (unnotified.delete(name) && unnotified.size === 0) {
        const why = `${PASSING_CALLS.join(" and ")} can't both be notified: hako passes the listener on with one of them`;
        wrong(`/syscalls/${index}/names/${at}`, why);
      }
    });
  });
  return problems;
}
