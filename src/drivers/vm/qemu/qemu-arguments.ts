import { HakoError } from "../../../base/errors";
import type { Fd } from "../../../linux/call/fd";
import { AGENT_WORD, CONTROL_PORT, streamPort, TREES_TAG } from "../channel/agent-protocol";
import { TREES } from "../confined/confined-root";
import type { Capacity } from "../host/capacity";

/** Who runs the guest's instructions: the processor itself, or QEMU, which translates them. */
export type Accelerator = "kvm" | "tcg";

export type QemuVersion = readonly [major: number, minor: number, micro: number];

/** The oldest QEMU with all of the arguments: -action. */
const OLDEST: QemuVersion = [6, 0, 0];

export interface MachinePlan {
  accelerator: Accelerator;
  /** Bytes of the guest's memory. */
  memory: number;
  cpus: number;
  kernel: string;
  initramfs: string;
  image: string;
  /** Descriptors of sockets, as QEMU has them: connected ones, or those at which it is to listen. */
  controlFd: number;
  qmpFd: number;
  listens?: boolean | undefined;
  /** How many ports there are for streams of processes. */
  streams?: number | undefined;
  /** Whether the guest may read the trees of containers. */
  trees?: boolean | undefined;
  /** Whether other processes can have the guest's memory, as virtiofsd must. */
  sharesMemory?: boolean | undefined;
  /** What the machine can have in all when devices, memory and processors are plugged into it; undefined of one that stays as it is. */
  grows?: Capacity | undefined;
  /** A file that is the guest's memory; undefined of one that is QEMU's own. */
  memoryFile?: MemoryFile | undefined;
}

/** What becomes of a file that is a guest's memory when the guest writes. */
export interface MemoryFile {
  file: Fd;
  /** "saved": the file is what the guest has. "restored": it stays as it is, and the guest goes on from the state that it was saved in. "copied": both. */
  role: "saved" | "restored" | "copied";
}

/** The first QEMU that leaves a file to be only read where the guest's writes are its own (memory-backend-file,rom=off). */
const READS_ONLY: QemuVersion = [8, 2, 0];

/** How many devices can be plugged into a machine: each has a port of its own. */
const ROOT_PORTS = 6;
/** How often memory can be plugged. */
export const MEMORY_SLOTS = 32;
/** Linux takes memory of x86-64 in blocks of this size (Documentation/admin-guide/mm/memory-hotplug.rst). */
export const MEMORY_BLOCK = 128 << 20;

/** The port of a plugged device. */
export function rootPort(number: number): string {
  return `plug${number}`;
}

/** Whether a device of QEMU's has this name as the port of a plugged one. */
export function isRootPort(name: string): boolean {
  return /^plug\d+$/.test(name);
}

/** For how many processes a machine of containers has ports, which the guest pays half a MiB for each. */
export const STREAMS = 8;

/** The character device of a stream's port. */
export function streamDevice(number: number): string {
  return `stream${number}`;
}

/**
 * Processor and translation, by accelerator. An emulated guest is no boundary, so what slows it down for one is left out. What it executes for the first
 * time costs the most, for that is translated.
 */
const ACCELERATION: Record<Accelerator, { accel: string; cpu: string; kernelWords: readonly string[] }> = {
  kvm: { accel: "kvm", cpu: "host", kernelWords: [] },
  tcg: {
    // less than 64 MiB of translated code are translated twice before hako has begun
    accel: "tcg,thread=multi,tb-size=64",
    cpu: `max,${[
      // where they are emulated, "rep movsb" and "rep stosb" move a byte at a time: without these features kernel and programs have other ways
      ...["erms", "fsrm"],
      // a fifth level of page tables to walk, and checks at each way into the kernel
      ...["la57", "smap", "smep", "pku"],
    ]
      .map((feature) => `${feature}=off`)
      .join(",")}`,
    kernelWords: [
      ...["mitigations=off", "apparmor=0", "hardened_usercopy=off", "init_on_alloc=0"],
      ...["no_timer_check", "noreplace-smp", "cryptomgr.notests"],
      // a guest would have more memory of its own for them, and nothing from them: QEMU's translations of addresses are for small pages
      "transparent_hugepage=never",
    ],
  },
};

/**
 * Feature bits that a guest's kernel is not to use where they are emulated, before QEMUs in which they are right. cmpxchg16b (4 * 32 + 13 in
 * asm/cpufeatures.h): with 7.2 every third boot of Linux 6.12 ends by a double fault in its allocator, with 10.0 none does. Programs still
 * see it: those for x86-64-v2 end without.
 */
const WRONG_FEATURES: readonly { before: QemuVersion; word: string }[] = [
  { before: [10, 0, 0], word: "clearcpuid=141" },
];

/** A kernel that panics restarts at once, and by a triple fault, which needs nothing of the machine's: QEMU then stops it. */
const KERNEL_WORDS = ["console=ttyS0", "quiet", "panic=-1", "reboot=t", AGENT_WORD] as const;

/**
 * A guest uses plugged memory by itself. Where there could be some above 4 GiB it would set aside 64 MiB for devices that don't reach that;
 * there are none.
 */
const GROWING_WORDS = ["memhp_default_state=online", "swiotlb=noforce"] as const;

/**
 * Whether processors are plugged into a machine that runs. Where they are emulated, QEMU ends if the ones that are there have taken all memory for
 * translated code (tcg/region.c, tcg_region_initial_alloc): there they are in the machine from its beginning, and the guest's kernel leaves them alone
 * (`maxcpus` of its parameters) until it is told to use them.
 */
export const PLUGS_CPUS: Record<Accelerator, boolean> = { kvm: true, tcg: false };
/** Each processor that a guest could get costs it some 0.3 MiB before it has it, and where it is emulated a part of the memory for translated code. */
export const MOST_CPUS: Record<Accelerator, number> = { kvm: 16, tcg: 4 };

/** What a machine has by default that no guest of ours needs, by the first QEMU that can leave it out. */
const LEFT_OUT: readonly { since: QemuVersion; option: string }[] = [
  { since: [6, 0, 0], option: "usb=off" },
  { since: [6, 0, 0], option: "vmport=off" },
  { since: [6, 0, 0], option: "smbus=off" },
  { since: [6, 0, 0], option: "sata=off" },
  { since: [8, 0, 0], option: "hpet=off" },
];

function isAtLeast(version: QemuVersion, least: QemuVersion): boolean {
  const at = version.findIndex((part, index) => part !== least[index]);
  return at < 0 || (version[at] ?? 0) > (least[at] ?? 0);
}

/** Refuses a QEMU that is too old; `path` is where it is. */
export function checkQemuVersion(version: QemuVersion, path: string): void {
  if (isAtLeast(version, OLDEST)) return;
  throw new HakoError({
    code: "unsupported",
    message: `${path} is QEMU ${version.join(".")}; machines need ${OLDEST.slice(0, 2).join(".")} or newer`,
  });
}

/** Files of several file systems, whose owners and modes are the host's; the guest can only read them. */
const TREE_FILES = "local,id=tree,security_model=passthrough,readonly=on,multidevs=remap";

/** The console, and how much of its end QEMU keeps: a power of two. */
export const CONSOLE_BUFFER = { id: "console", size: 65536 } as const;

/** Whether a QEMU that a guest has taken over can't change the file of its memory, of which others have been made too. */
export function mapsReadOnly(version: QemuVersion): boolean {
  return isAtLeast(version, READS_ONLY);
}

const MEMORY = "ram";

/** The guest's memory: the same whether it is saved or restored, up to whose its writes are. */
function memoryArguments(
  version: QemuVersion,
  { memory, memoryFile, sharesMemory = false }: MachinePlan,
): string[] {
  if (memoryFile === undefined)
    return sharesMemory
      ? ["-object", `memory-backend-memfd,id=${MEMORY},size=${mebibytes(memory)},share=on`]
      : [];
  const { file, role } = memoryFile;
  const only = role === "restored" && mapsReadOnly(version) ? ",readonly=on,rom=off" : "";
  const share = role === "restored" ? "off" : "on";
  return [
    ...[
      "-object",
      `memory-backend-file,id=${MEMORY},size=${mebibytes(memory)},mem-path=${file.path},share=${share}${only}`,
    ],
    ...(role === "saved" ? [] : ["-incoming", "defer"]),
  ];
}

function mebibytes(bytes: number): string {
  return `${Math.ceil(bytes / 2 ** 20)}M`;
}

/** Memory and processors, and ports for devices: as much as there is, and as could be plugged. */
function sizeArguments({ memory, cpus, grows, accelerator }: MachinePlan): string[] {
  if (grows === undefined) return ["-smp", `${cpus}`, "-m", mebibytes(memory)];
  const most = Math.max(grows.memory, memory + MEMORY_BLOCK);
  const mostCpus = Math.max(grows.cpus, cpus);
  return [
    ...["-smp", `${PLUGS_CPUS[accelerator] ? cpus : mostCpus},maxcpus=${mostCpus}`],
    ...["-m", `${mebibytes(memory)},slots=${MEMORY_SLOTS},maxmem=${mebibytes(most)}`],
    ...Array.from({ length: ROOT_PORTS }, (_, number) => [
      "-device",
      `pcie-root-port,id=${rootPort(number)},chassis=${number + 1}`,
    ]).flat(),
  ];
}

/** QEMU's arguments for a machine: no devices but these, no network, and nothing that it writes to. */
export function qemuArguments(version: QemuVersion, plan: MachinePlan): string[] {
  const { accel, cpu, kernelWords } = ACCELERATION[plan.accelerator];
  const without = LEFT_OUT.filter(({ since }) => isAtLeast(version, since)).map(({ option }) => option);
  const wrong = WRONG_FEATURES.filter(
    ({ before }) => plan.accelerator === "tcg" && !isAtLeast(version, before),
  ).map(({ word }) => word);
  const image = {
    driver: "raw",
    "node-name": "image",
    "read-only": true,
    file: { driver: "file", filename: plan.image, "read-only": true },
  };
  const backend =
    plan.memoryFile === undefined && plan.sharesMemory !== true ? [] : [`memory-backend=${MEMORY}`];
  const left = PLUGS_CPUS[plan.accelerator] ? [] : [`maxcpus=${plan.cpus}`];
  const growing = plan.grows === undefined ? [] : [...GROWING_WORDS, ...left];
  const { streams = 0, trees = false } = plan;
  const ending = plan.listens ? ",server=on,wait=off" : "";
  return [
    ["-nodefaults"],
    ["-no-user-config"],
    ["-display", "none"],
    ["-nic", "none"],
    ["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
    // a guest that is off or has panicked stays to be asked for its console
    ["-action", "reboot=shutdown,shutdown=pause"],
    ["-machine", ["q35", ...without, ...backend].join(",")],
    memoryArguments(version, plan),
    ["-accel", accel],
    ["-cpu", cpu],
    sizeArguments(plan),
    ["-kernel", plan.kernel],
    ["-initrd", plan.initramfs],
    ["-append", [...KERNEL_WORDS, ...kernelWords, ...wrong, ...growing].join(" ")],
    ["-blockdev", JSON.stringify(image)],
    ["-device", "virtio-blk-pci,drive=image"],
    ["-device", "virtio-serial-pci"],
    ["-chardev", `socket,id=control,fd=${plan.controlFd}${ending}`],
    ["-device", `virtserialport,chardev=control,name=${CONTROL_PORT}`],
    ["-chardev", `ringbuf,id=${CONSOLE_BUFFER.id},size=${CONSOLE_BUFFER.size}`],
    ["-serial", `chardev:${CONSOLE_BUFFER.id}`],
    ["-chardev", `socket,id=qmp,fd=${plan.qmpFd}${ending}`],
    ["-mon", "chardev=qmp,mode=control"],
    ...Array.from({ length: streams }, (_, index) => [
      ...["-chardev", `null,id=${streamDevice(index)}`],
      ...["-device", `virtserialport,chardev=${streamDevice(index)},name=${streamPort(index)}`],
    ]),
    ...(trees
      ? [
          ["-fsdev", `${TREE_FILES},path=${TREES}`],
          ["-device", `virtio-9p-pci,fsdev=tree,mount_tag=${TREES_TAG}`],
        ]
      : []),
  ].flat();
}
