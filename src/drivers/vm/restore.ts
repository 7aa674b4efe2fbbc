import { randomBytes } from "../../linux/kernel/random";
import type { KeptMachine } from "./kept-machine";

const ENTROPY = 64;
/** By how much a guest's clock may be behind. */
const LATE_MS = 20;
/** How often it is set again on a host that is busy. */
const MOST_TRIES = 3;
const CLOCK_MS = 10_000;

/** Makes a machine that was restored one that there is only once. Its agent answers nothing before. */
export function renewMachine(machine: KeptMachine, hostName: string, milliseconds: number): void {
  const late = (ask: (time: number) => void) => {
    const [start, time] = [performance.now(), Date.now()];
    ask(time);
    return performance.now() - start > LATE_MS;
  };
  const entropy = randomBytes(ENTROPY).toBase64();
  let again = late((time) => machine.awaitAgent("renew", { entropy, time, hostName }, milliseconds));
  for (let tries = 0; again && tries < MOST_TRIES; tries++)
    again = late((time) => machine.ask("clock", { time }, CLOCK_MS));
}
