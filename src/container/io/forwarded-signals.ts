import { SIG } from "../../linux/call/constants";
/** Signals that hako passes on to the program: all that can be caught, except those about hako's own children and terminal (signal(7)). */
export const FORWARDED = {
  SIGHUP: SIG.HUP,
  SIGINT: SIG.INT,
  SIGQUIT: SIG.QUIT,
  SIGUSR1: SIG.USR1,
  SIGUSR2: SIG.USR2,
  SIGALRM: SIG.ALRM,
  SIGTERM: SIG.TERM,
  SIGCONT: SIG.CONT,
  SIGTSTP: SIG.TSTP,
  SIGTTIN: SIG.TTIN,
  SIGTTOU: SIG.TTOU,
} as const;

/**
 * Numbers of the signals that a run passes on, from its beginning. A change of the window's size is one of them where the program is in a session
 * of its own below hako's first process: the kernel tells hako alone of it.
 */
export function passedOn(hasOwnInit: boolean): readonly number[] {
  return hasOwnInit ? [...Object.values(FORWARDED), SIG.WINCH] : Object.values(FORWARDED);
}
