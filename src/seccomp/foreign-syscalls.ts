/**
 * System calls of processors for which hako makes no filters. Profiles for all processors (docker's, containers-common's) name them;
 * without them nothing is lost here. From arch/{mips,powerpc,riscv,s390,sparc}/kernel/syscalls and libseccomp's table of names.
 */
export const FOREIGN_SYSCALLS: ReadonlySet<string> = new Set(
  "cachectl getdomainname kern_features memory_ordering multiplexer perfctr riscv_flush_icache riscv_hwprobe rtas s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write s390_runtime_instr s390_sthyi spu_create spu_run subpage_prot swapcontext switch_endian sync_file_range2 sys_debug_setcontext syscall sysmips timerfd utrap_install".split(
    " ",
  ),
);
