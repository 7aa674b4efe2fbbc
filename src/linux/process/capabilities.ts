import type { Memory } from "../call/argument-memory";
import { PR } from "../call/constants";
import type { Step } from "../call/step";
import { syscall, trySyscallHere } from "../call/syscall";

/** Names of the capabilities, in the order of their numbers (linux/capability.h). */
export const CAPABILITIES = [
  "CAP_CHOWN",
  "CAP_DAC_OVERRIDE",
  "CAP_DAC_READ_SEARCH",
  "CAP_FOWNER",
  "CAP_FSETID",
  "CAP_KILL",
  "CAP_SETGID",
  "CAP_SETUID",
  "CAP_SETPCAP",
  "CAP_LINUX_IMMUTABLE",
  "CAP_NET_BIND_SERVICE",
  "CAP_NET_BROADCAST",
  "CAP_NET_ADMIN",
  "CAP_NET_RAW",
  "CAP_IPC_LOCK",
  "CAP_IPC_OWNER",
  "CAP_SYS_MODULE",
  "CAP_SYS_RAWIO",
  "CAP_SYS_CHROOT",
  "CAP_SYS_PTRACE",
  "CAP_SYS_PACCT",
  "CAP_SYS_ADMIN",
  "CAP_SYS_BOOT",
  "CAP_SYS_NICE",
  "CAP_SYS_RESOURCE",
  "CAP_SYS_TIME",
  "CAP_SYS_TTY_CONFIG",
  "CAP_MKNOD",
  "CAP_LEASE",
  "CAP_AUDIT_WRITE",
  "CAP_AUDIT_CONTROL",
  "CAP_SETFCAP",
  "CAP_MAC_OVERRIDE",
  "CAP_MAC_ADMIN",
  "CAP_SYSLOG",
  "CAP_WAKE_ALARM",
  "CAP_BLOCK_SUSPEND",
  "CAP_AUDIT_READ",
  "CAP_PERFMON",
  "CAP_BPF",
  "CAP_CHECKPOINT_RESTORE",
] as const;
export type CapabilityName = (typeof CAPABILITIES)[number];

/** Sets have 64 bits. */
const LAST_POSSIBLE = 63;
const PR_CAP_AMBIENT_RAISE = 2;
const PR_CAP_AMBIENT_CLEAR_ALL = 4;
const LINUX_CAPABILITY_VERSION_3 = 0x20080522;

/** The five sets of a thread, as bit masks by the capabilities' numbers (capabilities(7)). */
export interface CapabilityMasks {
  bounding: bigint;
  effective: bigint;
  permitted: bigint;
  inheritable: bigint;
  ambient: bigint;
}

/** The mask of capabilities by their names; names that this kernel doesn't know go to `unknown` and are left out. */
export function capabilityMask(names: readonly string[], unknown: (name: string) => void): bigint {
  let mask = 0n;
  for (const name of names) {
    const number = (CAPABILITIES as readonly string[]).indexOf(name.toUpperCase());
    if (number < 0 || number > lastCapability()) unknown(name);
    else mask |= 1n << BigInt(number);
  }
  return mask;
}

let last: number | undefined;

/**
 * The highest number that this kernel knows; it may know ones that have no name here. The kernel itself is asked: inside a
 * container a file in /proc may be the image's (CVE-2019-16884).
 */
export function lastCapability(): number {
  if (last !== undefined) return last;
  let number = CAPABILITIES.length - 1;
  while (number > 0 && !isKnown(number)) number--;
  while (number < LAST_POSSIBLE && isKnown(number + 1)) number++;
  last = number;
  return last;
}

function isKnown(number: number): boolean {
  return trySyscallHere("prctl", PR.CAPBSET_READ, number, 0, 0, 0) >= 0;
}

/** The bit of a capability in a mask. */
export function capabilityBit(name: CapabilityName): bigint {
  return 1n << BigInt(CAPABILITIES.indexOf(name));
}

/** A thread's capabilities, 0 is this one: from capget(2), whose sets are effective, permitted, inheritable, twice for 64 bits. */
function capabilitiesOf(thread: number, set: 0 | 1): bigint {
  const sets = new Uint32Array(6);
  syscall("capget", new Uint32Array([LINUX_CAPABILITY_VERSION_3, thread]), sets);
  return BigInt(sets[set] ?? 0) | (BigInt(sets[3 + set] ?? 0) << 32n);
}

/** What this thread may make effective, or another one. */
export function permittedCapabilities(thread = 0): bigint {
  return capabilitiesOf(thread, 1);
}

/** What the kernel lets this thread do. */
export function effectiveCapabilities(): bigint {
  return capabilitiesOf(0, 0);
}

/** All that this kernel knows: what the first process of a user namespace has. */
export function allCapabilities(): bigint {
  return (1n << BigInt(lastCapability() + 1)) - 1n;
}

/** Drops everything else from the bounding set; needs CAP_SETPCAP. */
export function boundingSteps(mask: bigint): Step[] {
  return numbersOf(allCapabilities() & ~mask).map((number) => ({
    what: `prctl (drop ${CAPABILITIES[number] ?? number})`,
    call: "prctl",
    args: [PR.CAPBSET_DROP, number, 0, 0, 0],
  }));
}

function numbersOf(mask: bigint): number[] {
  const numbers: number[] = [];
  for (let number = 0; mask >> BigInt(number) !== 0n; number++) {
    if ((mask >> BigInt(number)) & 1n) numbers.push(number);
  }
  return numbers;
}

/** The right to change groups. */
export const SETGID = capabilityBit("CAP_SETGID");

/** Why a program can't get a capability that it shall have, and which. */
interface Ungranted {
  why: string;
  names: string[];
}

/** What execve gives root's program by itself, whatever is inheritable or ambient (capabilities(7), "Capabilities and execution of programs by root"). */
export function rootCapabilities({ bounding, permitted }: CapabilityMasks, noNewPrivileges: boolean): bigint {
  return noNewPrivileges ? bounding & permitted : bounding;
}

/**
 * Capabilities that a program is to have and does not get from a process that has those of `have`, by the reason why. `byItself`
 * are those that execve gives it in any case: for them it makes no difference that they can't be ambient.
 */
export function ungrantedCapabilities(
  { permitted, effective, inheritable, ambient }: CapabilityMasks,
  have: bigint,
  byItself = 0n,
): Ungranted[] {
  const notAmbient = ambient & have & ~(permitted & inheritable) & ~byItself;
  const reasons: [why: string, mask: bigint][] = [
    ["hako has them not itself", (permitted | effective) & ~have],
    ["what is not permitted can't be effective", effective & have & ~permitted],
    ["what is not permitted and inheritable can't be ambient", notAmbient],
  ];
  return reasons
    .map(([why, mask]) => ({
      why,
      names: numbersOf(mask).map((number) => CAPABILITIES[number] ?? String(number)),
    }))
    .filter(({ names }) => names.length > 0);
}

/** The right to install a seccomp filter without no_new_privs. */
export const SYS_ADMIN = capabilityBit("CAP_SYS_ADMIN");
/** The right to read and write whatever its mode says (capabilities(7)). */
export const DAC_OVERRIDE = capabilityBit("CAP_DAC_OVERRIDE");
/** The right to signal another user's processes. */
export const KILL = capabilityBit("CAP_KILL");
export const SYS_RESOURCE = capabilityBit("CAP_SYS_RESOURCE");

/**
 * Sets all sets but the bounding one, in a process that has the capabilities of `have`. Those that it does not have are left
 * out, as runc does: a container that runs in a container can't get back what its parent lacks. Capabilities of `kept` stay
 * effective until `last`, the second result, is made.
 */
export function capabilitySteps(
  masks: CapabilityMasks,
  have: bigint,
  kept: bigint,
): { steps: Step[]; last: Step } {
  const permitted = masks.permitted & have;
  const effective = masks.effective & permitted;
  const inheritable = masks.inheritable & (have | masks.bounding);
  const extra = kept & have;
  return {
    steps: [
      capsetStep(effective | extra, permitted | extra, inheritable),
      ...ambientSteps(masks.ambient & permitted & inheritable),
    ],
    last: capsetStep(effective, permitted, inheritable),
  };
}

/** Keeps all capabilities of a user namespace over the next execve, also for one who is not its root. */
export function allOverExecutionSteps(): Step[] {
  const all = allCapabilities();
  return [capsetStep(all, all, all), ...ambientSteps(all)];
}

/** Arguments of capset(2) by which a thread has these capabilities and no others. */
export function capsetArguments(mask: bigint): Memory[] {
  return capsetMemory(mask, mask, 0n);
}

function capsetStep(effective: bigint, permitted: bigint, inheritable: bigint): Step {
  return { what: "capset", call: "capset", args: capsetMemory(effective, permitted, inheritable) };
}

function capsetMemory(effective: bigint, permitted: bigint, inheritable: bigint): Memory[] {
  const low = (mask: bigint) => Number(mask & 0xffffffffn);
  const high = (mask: bigint) => Number(mask >> 32n);
  const sets = new Uint32Array([
    low(effective),
    low(permitted),
    low(inheritable),
    high(effective),
    high(permitted),
    high(inheritable),
  ]);
  return [new Uint32Array([LINUX_CAPABILITY_VERSION_3, 0]), sets];
}

function ambientSteps(mask: bigint): Step[] {
  const step = (what: string, operation: number, number: number): Step => ({
    what: `prctl (ambient ${what})`,
    call: "prctl",
    args: [PR.CAP_AMBIENT, operation, number, 0, 0],
  });
  return [
    step("none", PR_CAP_AMBIENT_CLEAR_ALL, 0),
    ...numbersOf(mask).map((number) =>
      step(CAPABILITIES[number] ?? String(number), PR_CAP_AMBIENT_RAISE, number),
    ),
  ];
}
