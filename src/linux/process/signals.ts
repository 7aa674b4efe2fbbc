import { HakoError } from "../../base/errors";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Signals by number, and other names of some: signal(7), the same on x86-64 and arm64. */
const SIGNALS: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGQUIT: 3,
  SIGILL: 4,
  SIGTRAP: 5,
  SIGABRT: 6,
  SIGIOT: 6,
  SIGBUS: 7,
  SIGFPE: 8,
  SIGKILL: 9,
  SIGUSR1: 10,
  SIGSEGV: 11,
  SIGUSR2: 12,
  SIGPIPE: 13,
  SIGALRM: 14,
  SIGTERM: 15,
  SIGSTKFLT: 16,
  SIGCHLD: 17,
  SIGCLD: 17,
  SIGCONT: 18,
  SIGSTOP: 19,
  SIGTSTP: 20,
  SIGTTIN: 21,
  SIGTTOU: 22,
  SIGURG: 23,
  SIGXCPU: 24,
  SIGXFSZ: 25,
  SIGVTALRM: 26,
  SIGPROF: 27,
  SIGWINCH: 28,
  SIGIO: 29,
  SIGPOLL: 29,
  SIGPWR: 30,
  SIGSYS: 31,
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
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number <= SIGRTMAX) return number;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const known = Object.hasOwn(SIGNALS, name) ? SIGNALS[name] : undefined;
  if (known !== undefined) return known;
  const realTime = /^SIGRT(MIN|MAX)(?:([+-])(\d+))?$/.exec(name);
  if (realTime !== null) {
    const base = realTime[1] === "MIN" ? SIGRTMIN : SIGRTMAX;
    const number = base + Number(`${realTime[2] ?? "+"}${realTime[3] ?? "0"}`);
    if (number >= SIGRTMIN && number <= SIGRTMAX) return number;
  }
  throw new HakoError({
    code: "usage",
    message: `unknown signal ${JSON.stringify(text)}`,
    hint: "a name such as TERM or SIGTERM, or a number up to 64",
  });
}
