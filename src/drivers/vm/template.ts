import { asHakoError } from "../../base/errors";
import { prepared } from "../../base/undo";
import { O } from "../../linux/call/constants";
import type { Fd } from "../../linux/call/fd";
import { changeMode, readText } from "../../linux/file/file";
import { memoryFile } from "../../linux/file/memfd";
import { openAt } from "../../linux/file/path";
import { copySparse } from "../../linux/file/sparse-copy";
import { logDebug, logWarning } from "../../output/log";
import type { MachineSettings, TemplateUse } from "../../settings/settings";
import type { ContainerMachine } from "./container-machine";
import { machinesDirectory } from "./guest/guest-cache";
import { type CacheEntry, fileIdentity, type HeldEntry, KeyedCache, keyOfParts } from "./guest/keyed-cache";
import { Machine } from "./machine";
import type { FoundQemu } from "./qemu/find-qemu";
import { type MemoryFile, mapsReadOnly, qemuArguments } from "./qemu/qemu-arguments";

/** The guest's memory, which machines map and don't change, and the state of all else. */
const [MEMORY, STATE] = ["memory", "state"] as const;
/** Of what is saved, and of what a guest has done before. */
const FORMAT = 1;
/** What a guest's programs have drawn at random and keep is the same in all machines of a template: not for ever. */
const LONGEST_USE_MS = 7 * 24 * 3600 * 1000;
const BUILD_MS = 120_000;

/**
 * What settings come to. A QEMU that leaves the file of its memory to be only read can't do others any harm by it, and an emulated guest, which
 * is no boundary, has no harm to be kept from. A QEMU with KVM that has the file open for writing gets a copy.
 */
export function templateUse({ template }: MachineSettings, { qemu, plan }: ContainerMachine): TemplateUse {
  if (template !== "auto") return template;
  return plan.accelerator === "tcg" || mapsReadOnly(qemu.version) ? "shared" : "copy";
}

export function templateCache(): KeyedCache {
  return new KeyedCache(`${machinesDirectory()}/templates`, "cache of templates");
}

/** The processor by its name, its features and its microcode: what a guest was told of it, it goes on with. */
function processor(): string {
  const [first = ""] = readText("/proc/cpuinfo").split("\n\n");
  const lines = first
    .split("\n")
    .filter((line) => /^(vendor_id|cpu family|model|model name|stepping|microcode|flags)\s*:/.test(line));
  return lines.join("\n");
}

export function templateKey({ qemu, plan }: ContainerMachine): string {
  // whose the memory is makes no other template
  const words = qemuArguments(qemu.version, { ...plan, sharesMemory: false, controlFd: 0, qmpFd: 0 });
  const files = [qemu.path, plan.kernel, plan.initramfs, plan.image].map(fileIdentity);
  // paths of the guest's files have its key: that of the kernel, of hako, of libc
  return keyOfParts([`format ${FORMAT}`, processor(), ...files, ...words]);
}

/** Whether it is not used any more. */
export function isTooOld({ made }: CacheEntry): boolean {
  return made < Date.now() - LONGEST_USE_MS;
}

/** The template of a machine; it is made if it is not here yet or too old, or with `anew`. */
export function machineTemplate(machine: ContainerMachine, anew = false): HeldEntry {
  const now = Date.now();
  const make = (directory: string) => build(directory, machine);
  return templateCache().entry(templateKey(machine), make, anew ? now : now - LONGEST_USE_MS);
}

/** Boots a machine, has its agent do all once, and saves it. QEMU ends with this process, whatever happens. */
function build(directory: string, { qemu, plan }: ContainerMachine): void {
  const start = performance.now();
  const deadline = start + BUILD_MS;
  const [memoryPath, statePath] = [`${directory}/${MEMORY}`, `${directory}/${STATE}`];
  using memory = openAt(undefined, memoryPath, O.RDWR | O.CREAT | O.EXCL, 0o600);
  // QEMU opens it again, as a user who nobody else is: who may come into the directory above is decided there
  changeMode(memoryPath, 0o666);
  using machine = new Machine(qemu, { ...plan, memoryFile: { file: memory, role: "saved" } });
  machine.begin(deadline);
  machine.ask("hello", deadline);
  machine.ask("rest", deadline);
  using state = openAt(undefined, statePath, O.WRONLY | O.CREAT | O.EXCL, 0o600);
  machine.save(state, deadline);
  if (mapsReadOnly(qemu.version)) changeMode(memoryPath, 0o444);
  logDebug(`template made in ${Math.round(performance.now() - start)} ms`);
}

/** What a machine is restored from: its memory, and the state of all else. */
export class SavedMachine implements Disposable {
  constructor(
    readonly memory: MemoryFile,
    readonly state: Fd,
    readonly use: "shared" | "copy",
  ) {}

  [Symbol.dispose](): void {
    this.memory.file.close();
    this.state.close();
  }
}

/** The saved machine that a new one is made from; undefined where it is to boot. */
export function savedMachine(machine: ContainerMachine, settings: MachineSettings): SavedMachine | undefined {
  const given = templateUse(settings, machine);
  if (given === "off") return undefined;
  // what other processes map has to be all of it
  const use = machine.plan.sharesMemory === true ? "copy" : given;
  try {
    using template = machineTemplate(machine);
    return openTemplate(template, machine.qemu, use);
  } catch (error) {
    logWarning(`${asHakoError(error).message}: the machine boots, for there is no template of it`);
    return undefined;
  }
}

function openTemplate({ path }: HeldEntry, { version }: FoundQemu, use: "shared" | "copy"): SavedMachine {
  const flags = use === "copy" || mapsReadOnly(version) ? O.RDONLY : O.RDWR;
  const state = openAt(undefined, `${path}/${STATE}`, O.RDONLY);
  try {
    const file = openAt(undefined, `${path}/${MEMORY}`, flags);
    if (use === "shared") return new SavedMachine({ file, role: "restored" }, state, use);
    using original = file;
    return new SavedMachine({ file: copyOf(original), role: "copied" }, state, use);
  } catch (error) {
    state.close();
    throw error;
  }
}

function copyOf(file: Fd): Fd {
  return prepared(memoryFile("memory of a guest"), (copy) => copySparse(file, copy));
}
