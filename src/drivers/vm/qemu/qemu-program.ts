import type { Fd } from "../../../linux/call/fd";
import { exists, listNames, realPath } from "../../../linux/file/file";
import { dirname } from "../../../linux/file/path-text";
import { capabilityBit } from "../../../linux/process/capabilities";
import { logDebug } from "../../../output/log";
import { startConfined } from "../confined/confined-process";
import { filesOfProgram } from "../confined/program-files";
import type { FoundQemu } from "./find-qemu";
import { type MachinePlan, qemuArguments } from "./qemu-arguments";

/** Where distributions put what QEMU reads of firmware, and parts of its own that it loads. `/usr` is what its executable is below. */
const FIRMWARE = ["/share/qemu", "/share/qemu-kvm", "/share/seabios", "/lib/ipxe/qemu"] as const;
const MODULES = ["/lib/x86_64-linux-gnu/qemu", "/lib64/qemu-kvm", "/lib64/qemu", "/lib/qemu"] as const;
/** Of those, what machines need: how instructions are run, where this is no part of the executable. */
const NEEDED_MODULE = /^accel-.*\.so$/;
const KVM = "/dev/kvm";
/** The container's files have many owners. */
const READ_ANY_FILE = capabilityBit("CAP_DAC_READ_SEARCH");

export interface QemuProcess {
  /** What it writes to. */
  output: Fd;
  /** Descriptors that its arguments name. */
  descriptors: readonly Fd[];
  endsWithMaker: boolean;
}

/** Starts QEMU, confined; its pid. */
export function startQemuProgram(
  { path, version }: FoundQemu,
  plan: MachinePlan,
  { output, descriptors, endsWithMaker }: QemuProcess,
): number {
  const words = qemuArguments(version, plan);
  logDebug(`${path} ${words.join(" ")}`);
  return startConfined({
    path,
    words,
    root: {
      files: [...filesOfQemu(path), plan.kernel, plan.initramfs, plan.image],
      devices: plan.accelerator === "kvm" ? [KVM] : [],
      trees: plan.trees === true,
    },
    output,
    descriptors: plan.memoryFile === undefined ? descriptors : [...descriptors, plan.memoryFile.file],
    rights: plan.trees === true ? READ_ANY_FILE : 0n,
    endsWithMaker,
  });
}

/** All that QEMU needs of the host's files beside the guest's. */
function filesOfQemu(path: string): string[] {
  const tops = [...new Set(["/usr", dirname(dirname(realPath(path)))])];
  const below = (places: readonly string[]) =>
    tops.flatMap((top) => places.map((place) => `${top}${place}`)).filter(exists);
  const modules = below(MODULES).flatMap((directory) =>
    listNames(directory)
      .filter((name) => NEEDED_MODULE.test(name))
      .map((name) => `${directory}/${name}`),
  );
  return [...filesOfProgram(path, modules), ...modules, ...below(FIRMWARE)];
}
