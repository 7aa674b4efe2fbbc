import { ACTIONS } from "../seccomp/words";
import type { Config, Problem } from "./config";

const BASE = "/linux/seccomp";
/** Made by hako itself between the filter's start and the listener's. */
const NOT_NOTIFIED = "sendmsg";

/** Rules between the fields of a seccomp profile. */
export function seccompProblems({ linux }: Config): Problem[] {
  const profile = linux?.seccomp;
  if (profile === undefined) return [];
  const problems: Problem[] = [];
  const wrong = (pointer: string, message: string) =>
    problems.push({ pointer: `${BASE}${pointer}`, message });
  const checkNumber = (pointer: string, action: string, given: number | undefined) => {
    const most = ACTIONS[action]?.data;
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
  (profile.syscalls ?? []).forEach(({ names, action, errnoRet }, index) => {
    checkNumber(`/syscalls/${index}/errnoRet`, action, errnoRet);
    if (action !== "SCMP_ACT_NOTIFY") return;
    if (!profile.listenerPath) wrong(`/syscalls/${index}/action`, "SCMP_ACT_NOTIFY needs listenerPath");
    const at = names.indexOf(NOT_NOTIFIED);
    if (at >= 0)
      wrong(
        `/syscalls/${index}/names/${at}`,
        `${NOT_NOTIFIED} can't be notified: hako passes the listener on with it`,
      );
  });
  return problems;
}
