import { HakoError } from "../../base/errors";
import { parseSize } from "../../base/size";
import type { Resources } from "../../oci/config";
import { cpuTime } from "../cpus";
import type { ScriptDevice } from "./script-devices";
import type { ScriptValues } from "./script-values";

function memoryOf(text: string): number {
  const bytes = parseSize(text);
  if (bytes !== undefined && bytes > 0) return bytes;
  throw HakoError.usage(`--memory: ${JSON.stringify(text)} is not a size`, "a number with K, M or G, as 64M");
}

function pidsOf(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text))
    throw HakoError.usage(`--pids: ${JSON.stringify(text)} is not a number above 0`);
  return Number(text);
}

/**
 * linux.resources: the limits, and rules for devices. The limit of processes is the program's: a first process of hako's is one more. An ordinary user's
 * container has no rules.
 */
export function scriptResources(
  values: Pick<ScriptValues, "memory" | "cpus" | "pids" | "no-init">,
  base: Resources | undefined,
  devices: readonly ScriptDevice[],
): Resources {
  const { memory, cpus, pids, "no-init": noInit } = values;
  const rules = devices.length === 0 ? undefined : base?.devices;
  return {
    ...base,
    ...(rules === undefined ? {} : { devices: [...rules, ...devices.map(({ rule }) => rule)] }),
    ...(memory === undefined ? {} : { memory: { limit: memoryOf(memory) } }),
    ...(cpus === undefined ? {} : { cpu: cpuTime(cpus) }),
    ...(pids === undefined ? {} : { pids: { limit: pidsOf(pids) + (noInit ? 0 : 1) } }),
  };
}
