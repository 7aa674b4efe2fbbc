import { SIG } from "../../linux/call/constants";
/** Signals that go to the program: all that can be caught but those about our own children and terminal (signal(7)). */
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
