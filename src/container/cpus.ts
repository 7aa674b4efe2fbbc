import { HakoError } from "../base/errors";

const PERIOD_US = 100_000;
/** The kernel's least quota. */
const LEAST_US = 1000;

/** `--cpus N`: a number of processors as CPU time in each period, in microseconds. */
export function cpuTime(text: string): { quota: number; period: number } {
  const quota = Math.round(Number(text) * PERIOD_US);
  if (/^\d+(\.\d+)?$/.test(text) && Number.isSafeInteger(quota) && quota >= LEAST_US)
    return { quota, period: PERIOD_US };
  throw HakoError.usage(`--cpus: ${JSON.stringify(text)} is not a number of processors`, "0.01 is the least");
}
