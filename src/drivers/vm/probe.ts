import { asHakoError, HakoError } from "../../base/errors";
import { ACCESS } from "../../linux/call/constants";
import { checkAccess, readText } from "../../linux/file/file";
import type { MachineSettings } from "../../settings/settings";
import { type CachedGuest, GuestCache, guestKey } from "./guest/guest-cache";
import { fileIdentity, keyOfParts } from "./guest/keyed-cache";
import { type FoundKernel, findKernel } from "./host/find-kernel";
import type { FoundProgram } from "./host/find-program";
import { KeptProbe } from "./kept-probe";
import { Machine } from "./machine";
import { type FoundQemu, findQemu, findQemuProgram } from "./qemu/find-qemu";
import type { Accelerator } from "./qemu/qemu-arguments";

/** How long a guest may take to answer. One that takes longer with KVM is better emulated. */
const DEADLINES_MS: Record<Accelerator, number> = { kvm: 15_000, tcg: 60_000 };
/** How long it may take to answer once more, and to go off. */
const SHORT_MS = 15_000;
const KVM = "/dev/kvm";

/** What came of a boot with an accelerator. */
export interface Trial {
  accelerator: Accelerator;
  works: boolean;
  /** Seconds from QEMU's start to the first answer of the guest's agent. */
  seconds?: number | undefined;
  /** Why it does not work. */
  reason?: string | undefined;
}

export interface Probe {
  /** The one that is used; undefined where none works. */
  accelerator: Accelerator | undefined;
  trials: Trial[];
  qemu: string;
  kernel: string;
  /** When, in milliseconds since 1970. */
  tried: number;
}

/** What machines are made of on this host. */
export interface MachineParts {
  settings: MachineSettings;
  qemu: FoundProgram;
  kernel: FoundKernel;
}

export function findParts(settings: MachineSettings): MachineParts {
  if (process.arch !== "x64")
    throw new HakoError({ code: "unsupported", message: "machines: this version has them on x86-64 only" });
  return { settings, qemu: findQemuProgram(settings.qemu), kernel: findKernel(settings) };
}

/** What a probe holds for: this boot of the host, QEMU, the guest with its kernel, and what the settings ask for. */
function probeKey({ settings, qemu, kernel }: MachineParts): string {
  const boot = readText("/proc/sys/kernel/random/boot_id").trim();
  const { accelerator, memory, cpus } = settings;
  return keyOfParts([boot, fileIdentity(qemu.path), guestKey(kernel), accelerator, `${memory} ${cpus}`]);
}

/** The result of the last probe, if that still holds. */
export function knownProbe(parts: MachineParts): Probe | undefined {
  return new KeptProbe<Probe>(new GuestCache().directory).find(probeKey(parts));
}

/** Boots a guest with KVM where it can be had, else emulated, and keeps what came of it. */
export function probeMachines(parts: MachineParts): Probe {
  const cache = new GuestCache();
  using guest = cache.guest(parts.kernel);
  const qemu = findQemu(parts.settings.qemu);
  const trials: Trial[] = [];
  for (const accelerator of wanted(parts.settings)) {
    trials.push(trial(accelerator, qemu, guest, parts));
    if (trials.some(({ works }) => works)) break;
  }
  const probe: Probe = {
    accelerator: trials.find(({ works }) => works)?.accelerator,
    trials,
    qemu: qemu.version.join("."),
    kernel: parts.kernel.release,
    tried: Date.now(),
  };
  new KeptProbe<Probe>(cache.directory).keep(probeKey(parts), probe);
  return probe;
}

function wanted({ accelerator }: MachineSettings): Accelerator[] {
  return accelerator === "auto" ? ["kvm", "tcg"] : [accelerator];
}

function trial(accelerator: Accelerator, qemu: FoundQemu, guest: CachedGuest, parts: MachineParts): Trial {
  try {
    if (accelerator === "kvm") checkAccess(KVM, ACCESS.R_OK | ACCESS.W_OK);
    return { accelerator, works: true, seconds: boot(accelerator, qemu, guest, parts) };
  } catch (error) {
    return { accelerator, works: false, reason: asHakoError(error).reason };
  }
}

/** Boots a guest and has it go off; the seconds until its agent answered. */
function boot(
  accelerator: Accelerator,
  qemu: FoundQemu,
  { kernel, initramfs, image }: CachedGuest,
  { settings: { memory, cpus }, kernel: { release } }: MachineParts,
): number {
  const start = performance.now();
  const deadline = start + DEADLINES_MS[accelerator];
  using machine = new Machine(qemu, { accelerator, memory, cpus, kernel, initramfs, image });
  machine.begin(deadline);
  const hello = machine.ask("hello", deadline);
  const seconds = (performance.now() - start) / 1000;
  if (hello.kernel !== release)
    throw new HakoError({ code: "system", message: `the guest's kernel is ${hello.kernel}, not ${release}` });
  machine.ask("ping", performance.now() + SHORT_MS);
  machine.ask("power-off", performance.now() + SHORT_MS);
  machine.awaitEnd(performance.now() + SHORT_MS);
  return seconds;
}
