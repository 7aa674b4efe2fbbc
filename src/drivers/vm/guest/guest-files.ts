import { O } from "../../../linux/call/constants";
import { readBytes, writeBytes } from "../../../linux/file/file";
import { openAt } from "../../../linux/file/path";
import { type CpioEntry, cpioArchive } from "./cpio";
import { writeErofs } from "./erofs";
import { CONSOLE, firstStageProgram, firstStageSteps, GUEST_MOUNTS, STAGE_DIRECTORIES } from "./first-stage";
import { unpackedKernel } from "./kernel-image";
import { GUEST_MODULES, type ModuleDirectory, modulesToLoad, OF_CONTAINERS } from "./kernel-modules";
import { EXECUTABLE, LIBRARIES, loadedObjects } from "./shared-objects";

/** What a machine is started with: files of one directory. */
export const GUEST_FILES = { kernel: "kernel", initramfs: "initramfs", image: "image" } as const;

const HAKO = "/bin/hako";
/** The hidden command that is the guest's first process. */
const AGENT = "agent";
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFCHR = 0o020000;

/** A kernel of the host's, and its modules. */
export interface KernelSource {
  path: string;
  modules: ModuleDirectory;
}

/** Writes the three files of a guest, which QEMU reads as another user, into a directory: the kernel, what it begins with, and an image with hako in it. */
export function writeGuestFiles(directory: string, kernel: KernelSource): void {
  const bytes = readBytes(kernel.path);
  writeBytes(`${directory}/${GUEST_FILES.kernel}`, unpackedKernel(bytes) ?? bytes, 0o644);
  writeBytes(`${directory}/${GUEST_FILES.initramfs}`, initramfs(kernel.modules), 0o644);
  using image = openAt(undefined, `${directory}/${GUEST_FILES.image}`, O.WRONLY | O.CREAT | O.EXCL, 0o644);
  const hako = { path: HAKO, mode: 0o755, content: { file: EXECUTABLE } };
  writeErofs(image, { files: [hako, ...loadedObjects()], directories: GUEST_MOUNTS });
}

/** Modules, and the first process's first stage. */
function initramfs(directory: ModuleDirectory): Uint8Array {
  const lacking = directory.lacking(OF_CONTAINERS);
  const wanted = [...GUEST_MODULES, ...OF_CONTAINERS.filter((name) => !lacking.includes(name))];
  const modules = modulesToLoad(directory, wanted).map(({ module, bytes }) => ({
    path: `modules/${module.name}.ko`,
    bytes,
  }));
  const steps = firstStageSteps({
    modules: modules.map(({ path }) => `/${path}`),
    program: HAKO,
    args: [HAKO, AGENT],
    environment: [`LD_LIBRARY_PATH=${LIBRARIES}`, "HOME=/", "PATH=/bin"],
  });
  const entries: CpioEntry[] = [
    ...[...STAGE_DIRECTORIES, "modules"].map((path) => ({ path, mode: S_IFDIR | 0o755 })),
    { path: CONSOLE.path, mode: S_IFCHR | 0o600, device: CONSOLE.device },
    { path: "init", mode: S_IFREG | 0o755, bytes: firstStageProgram(steps) },
    ...modules.map(({ path, bytes }) => ({ path, mode: S_IFREG | 0o644, bytes })),
  ];
  return cpioArchive(entries);
}
