import type { HakoError } from "../../base/errors";
import type { Resources } from "../../oci/config";
import type { Integer } from "../../oci/json";
import { logWarning } from "../../output/log";
import type { CgroupNode } from "../hierarchy/record";
import { isLimit, isSet } from "./amount";
import type { Target } from "./target";

type Memory = NonNullable<Resources["memory"]>;

const LIMIT = "memory.limit_in_bytes";
const LIMIT_AND_SWAP = "memory.memsw.limit_in_bytes";
const AMOUNTS = ["limit", "reservation", "swap", "kernel", "kernelTCP"] as const;
/** Limits of kernel memory alone, and their v1 files. */
const KERNEL_AMOUNTS = [
  ["kernel", "memory.kmem.limit_in_bytes"],
  ["kernelTCP", "memory.kmem.tcp.limit_in_bytes"],
] as const;
/** How callers with unsigned numbers write -1. */
const UNSIGNED_MINUS_ONE = 2n ** 64n - 1n;

/** An amount of memory: -1 is no limit; undefined, and 0 in config.json, leave a limit as it is. */
export function memoryAmount(value: Integer | undefined): bigint | undefined {
  return isSet(value) ? BigInt(value) : undefined;
}

/**
 * The value of v2's memory.swap.max, which counts swap alone, from `swap`, which counts memory and swap together. A text says why
 * there is none.
 */
export function swapAlone(limit: bigint | undefined, swap: bigint | undefined): bigint | undefined | string {
  if (swap === undefined) return limit === -1n ? -1n : undefined;
  if (swap === -1n) return -1n;
  if (limit === undefined || limit === -1n) return "is set without a memory limit";
  if (swap < limit) return `is ${swap}, less than the memory limit ${limit}`;
  return swap - limit;
}

/** Writes linux.resources.memory. */
export function applyMemory(target: Target, { memory }: Resources): void {
  if (memory === undefined) return;
  const swappiness =
    memory.swappiness === undefined || BigInt(memory.swappiness) === UNSIGNED_MINUS_ONE
      ? undefined
      : BigInt(memory.swappiness);
  const field = firstField(memory, swappiness);
  if (field === undefined) return;
  const restricts = AMOUNTS.some((name) => isLimit(memory[name]));
  const changes = swappiness !== undefined || memory.disableOOMKiller === true;
  if (!restricts && !changes && target.find("memory") === undefined) return;
  const node = target.need("memory", `/memory/${field}`);
  checkUsage(target, memory);
  if (node.unified) applyV2(target, node, memory, swappiness);
  else applyV1(target, node, memory, swappiness);
  applyKernelMemory(target, node, memory);
}

/** The first field that asks for something. */
function firstField(memory: Memory, swappiness: bigint | undefined): string | undefined {
  if (swappiness !== undefined) return "swappiness";
  if (memory.disableOOMKiller) return "disableOOMKiller";
  return AMOUNTS.find((name) => isSet(memory[name]));
}

/**
 * Warns of limits of kernel memory alone, as runc does: v2 has none, and v1's have had no effect since Linux 5.16. A runtime may
 * ignore them (config-linux.md "Memory").
 */
function applyKernelMemory(target: Target, node: CgroupNode, memory: Memory): void {
  for (const [name, file] of KERNEL_AMOUNTS) {
    const value = memory[name];
    if (!isSet(value)) continue;
    if (!node.unified) target.tryWrite(node, file, value);
    if (!isLimit(value)) continue;
    const kept = node.unified ? undefined : target.read(node, file);
    if (kept !== undefined && BigInt(kept) <= BigInt(value)) continue;
    logWarning(
      `/linux/resources/memory/${name} has no effect here: kernel memory counts as the container's memory`,
    );
  }
}

/** checkBeforeUpdate: refuses a limit that is below what is in use already. */
export function checkUsage(target: Target, memory: Memory | undefined): void {
  const limit = memoryAmount(memory?.limit);
  const node = target.find("memory");
  if (memory?.checkBeforeUpdate !== true || limit === undefined || node === undefined) return;
  const used = target.read(node, node.unified ? "memory.current" : "memory.usage_in_bytes");
  if (used === undefined || limit < 0n || BigInt(used) <= limit) return;
  throw target.wrong(
    "/memory/limit",
    `${limit} is less than the ${used} bytes in use`,
    "checkBeforeUpdate refuses that",
  );
}

function applyV1(target: Target, node: CgroupNode, memory: Memory, swappiness: bigint | undefined): void {
  if (memory.useHierarchy) target.tryWrite(node, "memory.use_hierarchy", 1);
  writeLimits(target, node, memoryAmount(memory.limit), memoryAmount(memory.swap));
  const reservation = memoryAmount(memory.reservation);
  if (reservation !== undefined) {
    target.write(node, "memory.soft_limit_in_bytes", reservation, "/memory/reservation");
  }
  if (memory.disableOOMKiller) target.write(node, "memory.oom_control", 1, "/memory/disableOOMKiller");
  if (swappiness !== undefined) target.write(node, "memory.swappiness", swappiness, "/memory/swappiness");
}

/**
 * Writes v1's limit, and the one of memory and swap. The kernel demands limit <= limit-and-swap after each write, so the larger one is
 * raised first.
 */
function writeLimits(
  target: Target,
  node: CgroupNode,
  limit: bigint | undefined,
  wanted: bigint | undefined,
): void {
  const hasSwap = target.exists(node, LIMIT_AND_SWAP);
  const swap = limit === -1n && wanted === undefined ? -1n : wanted;
  if (swap !== undefined && !hasSwap) {
    if (swap !== -1n && swap !== limit) {
      const hint = "start the kernel with swapaccount=1, or remove the swap limit";
      throw target.refuse("/memory/swap", `this kernel does not account swap (no ${LIMIT_AND_SWAP})`, hint);
    }
    writeLimit(target, node, limit);
    return;
  }
  if (swap === undefined) {
    writeLimit(target, node, limit);
    return;
  }
  const writeSwap = () => target.write(node, LIMIT_AND_SWAP, swap, "/memory/swap");
  const now = BigInt(target.read(node, LIMIT_AND_SWAP) ?? UNSIGNED_MINUS_ONE);
  if (limit === undefined) writeSwap();
  else if (swap === -1n || now < swap) {
    writeSwap();
    writeLimit(target, node, limit);
  } else {
    writeLimit(target, node, limit);
    writeSwap();
  }
}

function writeLimit(target: Target, node: CgroupNode, limit: bigint | undefined): void {
  if (limit === undefined) return;
  const failed = target.tryWrite(node, LIMIT, limit);
  if (failed !== undefined)
    throw target.failure("/memory/limit", failed, LIMIT, busyHint(target, node, failed));
}

function busyHint(target: Target, node: CgroupNode, failed: HakoError): string | undefined {
  if (failed.errno === "EBUSY") {
    const peak = target.read(node, "memory.max_usage_in_bytes");
    return `${target.read(node, "memory.usage_in_bytes")} bytes are in use, ${peak} at most so far`;
  }
  if (failed.errno === "EINVAL" && target.exists(node, LIMIT_AND_SWAP)) {
    return `it may not be more than memory and swap together, ${target.read(node, LIMIT_AND_SWAP)}; give /linux/resources/memory/swap too`;
  }
  return undefined;
}

function applyV2(target: Target, node: CgroupNode, memory: Memory, swappiness: bigint | undefined): void {
  const pointer = (name: string) => `/memory/${name}`;
  if (memory.disableOOMKiller) {
    throw target.refuse(
      pointer("disableOOMKiller"),
      "cgroup v2 cannot do it",
      "remove it, or set memory.oom.group in unified",
    );
  }
  if (swappiness !== undefined) {
    throw target.refuse(pointer("swappiness"), "cgroup v2 cannot do it", "remove it, or set swap");
  }
  const limit = memoryAmount(memory.limit);
  const swap = swapAlone(limit, memoryAmount(memory.swap));
  if (typeof swap === "string")
    throw target.wrong(pointer("swap"), swap, "it counts memory and swap together");
  if (swap !== undefined) {
    const failed = target.tryWrite(node, "memory.swap.max", orMax(swap));
    // Without swap accounting the file is missing: no limit, and no swap, is then what holds anyway.
    const harmless = failed?.errno === "ENOENT" && (swap === -1n || swap === 0n);
    if (failed !== undefined && !harmless) throw target.failure(pointer("swap"), failed, "memory.swap.max");
  }
  if (limit !== undefined) target.write(node, "memory.max", orMax(limit), pointer("limit"));
  const reservation = memoryAmount(memory.reservation);
  if (reservation !== undefined) target.write(node, "memory.low", orMax(reservation), pointer("reservation"));
}

function orMax(value: bigint): string {
  return value < 0n ? "max" : String(value);
}
