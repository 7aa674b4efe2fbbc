import { constants } from "node:os";
import { HakoError } from "../errors";

const SIGRTMIN = 34;
const SIGRTMAX = 64;

/** Other names of signals, as signal(7) has them. */
const ALIASES: Readonly<Record<string, string>> = { SIGCLD: "SIGCHLD", SIGPOLL: "SIGIO" };

/** The number of a signal by its name with or without SIG, or by its number; RTMIN+n and RTMAX-n too. */
export function signalNumber(text: string): number {
  if (/^\d+$/.test(text)) {
    const number = Number(text);
    if (number <= SIGRTMAX) return number;
  }
  const upper = text.toUpperCase();
  const name = upper.startsWith("SIG") ? upper : `SIG${upper}`;
  const known = (constants.signals as Record<string, number>)[ALIASES[name] ?? name];
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
