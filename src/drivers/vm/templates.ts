import { listNames, statusAt } from "../../linux/file/file";
import type { MachineSettings, TemplateUse } from "../../settings/settings";
import { type ContainerMachine, containerMachine, workingQemu } from "./container-machine";
import { GuestCache } from "./guest/guest-cache";
import type { CacheEntry } from "./guest/keyed-cache";
import { findParts, knownProbe } from "./probe";
import { isTooOld, machineTemplate, templateCache, templateKey, templateUse } from "./template";

/** A template, as people are told of it. */
export interface TemplateEntry {
  key: string;
  /** What it takes on the disk, in bytes. */
  size: number;
  /** When it was made, in milliseconds since 1970. */
  made: number;
  /** Whether the next machine is made from it. */
  used: boolean;
}

export interface TemplateView {
  /** undefined where it is not known what runs guests here. */
  use: TemplateUse | undefined;
  directory: string;
  templates: TemplateEntry[];
}

function entryOf({ key, path, made }: CacheEntry, used: boolean): TemplateEntry {
  const sizes = listNames(path).map((name) => statusAt(`${path}/${name}`)?.allocated ?? 0);
  return { key, size: sizes.reduce((sum, each) => sum + each, 0), made, used };
}

/** What machines are made from; nothing is made or tried for the answer. */
export function viewTemplates(settings: MachineSettings): TemplateView {
  const cache = templateCache();
  const machine = knownMachine(settings);
  const use = machine && templateUse(settings, machine);
  const key = machine === undefined || use === "off" ? undefined : templateKey(machine);
  const templates = cache.list().map((entry) => entryOf(entry, entry.key === key && !isTooOld(entry)));
  return { use, directory: cache.directory, templates };
}

/** The machines that containers would get, as far as that is known. */
function knownMachine(settings: MachineSettings): ContainerMachine | undefined {
  const parts = findParts(settings);
  if (knownProbe(parts)?.accelerator === undefined) return undefined;
  using guest = new GuestCache().find(parts.kernel);
  return guest && containerMachine(parts, guest, workingQemu(parts));
}

/** Makes the template of this host's machines, with all that it needs; `anew`, even if there is one. */
export function buildTemplate(settings: MachineSettings, anew: boolean): TemplateEntry & { isNew: boolean } {
  const parts = findParts(settings);
  const working = workingQemu(parts);
  using guest = new GuestCache().guest(parts.kernel);
  using template = machineTemplate(containerMachine(parts, guest, working), anew);
  return { ...entryOf(template, true), isNew: template.isNew };
}

/** Removes all templates; machines that were made from them go on. Those that a command uses at the moment stay. */
export function removeTemplates(): { removed: number; left: number } {
  const { removed, used } = templateCache().clear();
  return { removed: removed.length, left: used.length };
}
