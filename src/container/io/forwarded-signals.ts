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
