import { asHakoError, HakoError } from "../../base/errors";
import type { MachineSettings } from "../../settings/settings";
import { type FoundVirtiofsd, findVirtiofsd } from "./files/find-virtiofsd";
import { GuestCache, type GuestEntry, guestKey } from "./guest/guest-cache";
import { downloadKernel } from "./host/download-kernel";
import { type FoundKernel, findKernel } from "./host/find-kernel";
import { findParts, knownProbe, type MachineParts, type Probe } from "./probe";
import { type FoundQemu, findQemu } from "./qemu/find-qemu";
import { type TemplateView, viewTemplates } from "./templates";

export interface MadeReady {
  qemu: FoundQemu;
  virtiofsd: Part<FoundVirtiofsd>;
  kernel: MachineParts["kernel"];
  guest: { key: string; size: number; made: boolean };
}

/** Makes a guest for this host's machines, with a kernel that is fetched first if `download` asks for it. */
export function setUpMachines(
  settings: MachineSettings,
  { download, force }: { download: boolean; force: boolean },
): MadeReady {
  if (download && settings.kernel !== undefined)
    throw new HakoError({
      code: "config",
      message: `--download: the settings name a kernel, /machine/kernel ${settings.kernel}`,
    });
  const qemu = findQemu(settings.qemu);
  if (download) downloadKernel(force);
  const { kernel } = findParts(settings);
  const cache = new GuestCache();
  using guest = cache.guest(kernel, force);
  const { key, made } = guest;
  const size = cache.list().find((entry) => entry.key === key)?.size ?? 0;
  return {
    qemu,
    virtiofsd: tryPart(() => findVirtiofsd(settings.virtiofsd)),
    kernel,
    guest: { key, size, made },
  };
}

/** A part of machines, or why it is not there. */
export type Part<T> = { found: T } | { missing: HakoError };

/** What machines are made of here, and what is in the cache. */
export interface MachineView {
  qemu: Part<FoundQemu>;
  virtiofsd: Part<FoundVirtiofsd>;
  kernel: Part<FoundKernel>;
  guests: (GuestEntry & { used: boolean })[];
  cache: string;
  probe: Probe | undefined;
  templates: TemplateView | undefined;
}

function tryPart<T>(find: () => T): Part<T> {
  try {
    return { found: find() };
  } catch (error) {
    return { missing: asHakoError(error) };
  }
}

export function viewMachines(settings: MachineSettings): MachineView {
  const qemu = tryPart(() => findQemu(settings.qemu));
  const kernel = tryPart(() => findKernel(settings));
  const cache = new GuestCache();
  const key = "found" in kernel ? guestKey(kernel.found) : undefined;
  const templates = tryPart(() => viewTemplates(settings));
  const complete = "found" in qemu && "found" in kernel;
  return {
    qemu,
    virtiofsd: tryPart(() => findVirtiofsd(settings.virtiofsd)),
    kernel,
    guests: cache.list().map((entry) => ({ ...entry, used: entry.key === key })),
    cache: cache.directory,
    templates: "found" in templates ? templates.found : undefined,
    probe: complete ? knownProbe({ settings, qemu: qemu.found, kernel: kernel.found }) : undefined,
  };
}
