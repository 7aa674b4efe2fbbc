import type { Step } from "../call/step";
import { bitMask } from "./number-list";

/** MPOL_* (set_mempolicy(2)). */
export const MEMORY_POLICIES = {
  MPOL_DEFAULT: 0,
  MPOL_PREFERRED: 1,
  MPOL_BIND: 2,
  MPOL_INTERLEAVE: 3,
  MPOL_LOCAL: 4,
  MPOL_PREFERRED_MANY: 5,
  MPOL_WEIGHTED_INTERLEAVE: 6,
} as const;

/** MPOL_F_* */
export const MEMORY_POLICY_FLAGS = {
  MPOL_F_STATIC_NODES: 1 << 15,
  MPOL_F_RELATIVE_NODES: 1 << 14,
  MPOL_F_NUMA_BALANCING: 1 << 13,
} as const;

/** From which nodes whoever makes this system call, and what it executes, gets its memory. */
export function memoryPolicyStep(
  what: string,
  mode: keyof typeof MEMORY_POLICIES,
  flags: readonly (keyof typeof MEMORY_POLICY_FLAGS)[],
  nodes: readonly number[],
): Step {
  const word = flags.reduce((sum, name) => sum | MEMORY_POLICY_FLAGS[name], MEMORY_POLICIES[mode] as number);
  const mask = nodes.length === 0 ? null : bitMask(nodes);
  // the kernel counts one bit less than it is told
  const bits = mask === null ? 0 : mask.length * 64 + 1;
  return { what: `${what}: set_mempolicy ${mode}`, call: "set_mempolicy", args: [word, mask ?? 0, bits] };
}
