import { HakoError } from "../../base/errors";
import { SIG } from "../call/constants";

/** Signals by number, and other names of some: signal(7), the same on x86-64 and arm64. */
const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: SIG.HUP,
  SIGINT: SIG.INT,
  SIGQUIT: SIG.QUIT,
  SIGILL: SIG.ILL,
  SIGTRAP: SIG.TRAP,
  SIGABRT: SIG.ABRT,
  SIGIOT: SIG.ABRT,
  SIGBUS: SIG.BUS,
  SIGFPE: SIG.FPE,
  SIGKILL: SIG.KILL,
  SIGUSR1: SIG.USR1,
  SIGSEGV: SIG.SEGV,
  SIGUSR2: SIG.USR2,
  SIGPIPE: SIG.PIPE,
  SIGALRM: SIG.ALRM,
  SIGTERM: SIG.TERM,
  SIGSTKFLT: SIG.STKFLT,
  SIGCHLD: SIG.CHLD,
  SIGCLD: SIG.CHLD,
  SIGCONT: SIG.CONT,
  SIGSTOP: SIG.STOP,
  SIGTSTP: SIG.TSTP,
  SIGTTIN: SIG.TTIN,
  SIGTTOU: SIG.TTOU,
  SIGURG: SIG.URG,
  SIGXCPU: SIG.XCPU,
  SIGXFSZ: SIG.XFSZ,
  SIGVTALRM: SIG.VTALRM,
  SIGPROF: SIG.PROF,
  SIGWINCH: SIG.WINCH,
  SIGIO: SIG.IO,
  SIGPOLL: SIG.IO,
  SIGPWR: SIG.PWR,
  SIGSYS: SIG.SYS,
};

/** The name of a signal; of real-time ones as "signal 40". */
export function signalName(signal: number): string {
  const found = Object.entries(SIGNALS).find(([, number]) => number === signal);
  return found?.[0] ?? `signal ${signal}`;
}

/** Without SIG; of several names of one the usual one. */
export function signalNames(): string[] {
  const numbers = new Set<number>();
  const usual = Object.entries(SIGNALS).filter(([, number]) => {
    const isNew = !numbers.has(number);
    numbers.add(number);
    return isNew;
  });
  return usual.map(([name]) => name.slice("SIG".length));
}

/** The number of a signal by its name with or without SIG, or by its number; RTMIN+n and RTMAX-n too. */
export function signalNumber(text: string): number {
  const number = numberOf(text);
  if (number !== undefined) return number;
  throw HakoError.usage(
    `unknown signal ${JSON.stringify(text)}`,
    "a name such as TERM or SIGTERM, or a number up to 64",
  );
}

export function isSignal(text: string): boolean {
  return numberOf(text) !== undefined;
}

function numberOf(text: string): number | undefined {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number <= SIG.RTMAX) return number;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const known = Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
  if (known !== undefined) return known;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realTime !== null) {
    const base = realTime[1] === "MIN" ? SIG.RTMIN : SIG.RTMAX;
    const number = base + Number(`${realTime[2] ?? "+"}${realTime[3] ?? "0"}`);
    if (number >= SIG.RTMIN && number <= SIG.RTMAX) return number;
  }
  return undefined;
}
