import type { Problem, Seccomp } from "../oci/config";
import { nearestOption } from "../suggestions";
import { SYSCALLS } from "./syscalls";
import { ACTIONS } from "./words";

/** Calls of machines that hako doesn't run on, which profiles for all machines name. */
const OF_OTHER_MACHINES: ReadonlySet<string> = new Set([
  "cachectl",
  "multiplexer",
  "riscv_flush_icache",
  "riscv_hwprobe",
  "rtas",
  "s390_guarded_storage",
  "s390_pci_mmio_read",
  "s390_pci_mmio_write",
  "s390_runtime_instr",
  "s390_sthyi",
  "spu_create",
  "spu_run",
  "subpage_prot",
  "swapcontext",
  "switch_endian",
  "sync_file_range2",
  "sys_debug_setcontext",
  "syscall",
  "sysmips",
  "timerfd",
]);

/** The kernel's order of answers, the strictest first: as signed numbers (kernel/seccomp.c, ACTION_ONLY). */
function rank(action: string): number {
  return (ACTIONS[action]?.value ?? 0) | 0;
}

/**
 * Calls that a profile forbids, or does more about than about others, whose names hako doesn't know: typing errors, or newer than
 * this hako. Such a call can be made all the same. Names that nobody knows in what is allowed take nothing away.
 */
export function unknownForbidden({ defaultAction, syscalls = [] }: Seccomp): Problem[] {
  return syscalls.flatMap(({ names, action }, row) => {
    if (rank(action) >= rank(defaultAction)) return [];
    return names.flatMap((name, index) => {
      if (Object.hasOwn(SYSCALLS, name) || OF_OTHER_MACHINES.has(name)) return [];
      const near = nearestOption(name, Object.keys(SYSCALLS));
      const meant = near === undefined ? "" : ` (did you mean ${near}?)`;
      const message = `unknown system call ${JSON.stringify(name)}, which nothing forbids then${meant}`;
      return [{ pointer: `/syscalls/${row}/names/${index}`, message }];
    });
  });
}
