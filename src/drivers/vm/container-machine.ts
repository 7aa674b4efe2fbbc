import { HakoError } from "../../base/errors";
import type { CachedGuest } from "./guest/guest-cache";
import { hostCapacity } from "./host/capacity";
import { knownProbe, type MachineParts, probeMachines } from "./probe";
import { type FoundQemu, parseVersionNumber } from "./qemu/find-qemu";
import { type Accelerator, type MachinePlan, MOST_CPUS, STREAMS } from "./qemu/qemu-arguments";
import { machineWords } from "./words";

/** Of a container without a limit. */
export const MEMORY_WITHOUT_LIMIT = 512 << 20;

/** What the machines of containers are, all alike: whether one boots or is restored makes no difference to it. */
export interface ContainerMachine {
  qemu: FoundQemu;
  plan: Omit<MachinePlan, "controlFd" | "qmpFd">;
}

/** What runs the guests of this host, which is tried if that is not known; an error where nothing does. */
export function workingQemu(parts: MachineParts): { qemu: FoundQemu; accelerator: Accelerator } {
  const probe = knownProbe(parts) ?? probeMachines(parts);
  const version = parseVersionNumber(probe.qemu);
  if (probe.accelerator === undefined || version === undefined)
    throw new HakoError({ code: "unsupported", message: `machines: ${machineWords(probe)}` });
  return { qemu: { ...parts.qemu, version }, accelerator: probe.accelerator };
}

export function containerMachine(
  { settings }: MachineParts,
  { kernel, initramfs, image }: Pick<CachedGuest, "kernel" | "initramfs" | "image">,
  { qemu, accelerator }: { qemu: FoundQemu; accelerator: Accelerator },
): ContainerMachine {
  // what its guest needs itself, and a container without a limit
  const memory = settings.memory + MEMORY_WITHOUT_LIMIT;
  return {
    qemu,
    plan: {
      ...{
        accelerator,
        memory,
        cpus: settings.cpus,
        streams: STREAMS,
        grows: hostCapacity(MOST_CPUS[accelerator]),
      },
      ...{ trees: true, kernel, initramfs, image },
    },
  };
}
