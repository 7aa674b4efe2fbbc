/** The words of seccomp profiles (runtime-spec config-linux.md "Seccomp") and what they are to the kernel (linux/seccomp.h, linux/audit.h). */

interface ActionWord {
  /** SECCOMP_RET_* */
  value: number;
  /** The largest number that a profile may give with the action; undefined if it takes none. */
  data?: number;
}

const MAX_ERRNO = 4095;
const MAX_DATA = 0xffff;

const actions = {
  SCMP_ACT_KILL: { value: 0 },
  SCMP_ACT_KILL_THREAD: { value: 0 },
  SCMP_ACT_KILL_PROCESS: { value: 0x80000000 },
  SCMP_ACT_TRAP: { value: 0x00030000 },
  SCMP_ACT_ERRNO: { value: 0x00050000, data: MAX_ERRNO },
  SCMP_ACT_TRACE: { value: 0x7ff00000, data: MAX_DATA },
  SCMP_ACT_ALLOW: { value: 0x7fff0000 },
  SCMP_ACT_LOG: { value: 0x7ffc0000 },
  SCMP_ACT_NOTIFY: { value: 0x7fc00000 },
};
export type Action = keyof typeof actions;
export const ACTIONS: Readonly<Record<Action, ActionWord>> = actions;

/** The answer to calls of an architecture that the profile does not list. */
export const KILL_THREAD = 0;
export const ERRNO = 0x00050000;

export const OPERATORS = [
  "SCMP_CMP_NE",
  "SCMP_CMP_LT",
  "SCMP_CMP_LE",
  "SCMP_CMP_EQ",
  "SCMP_CMP_GE",
  "SCMP_CMP_GT",
  "SCMP_CMP_MASKED_EQ",
] as const;
export type Operator = (typeof OPERATORS)[number];

/** SECCOMP_FILTER_FLAG_*. TSYNC is accepted and needs no bit: only the thread that sets the filter lives on after execve. */
export const FLAGS = {
  SECCOMP_FILTER_FLAG_TSYNC: 0,
  SECCOMP_FILTER_FLAG_LOG: 1 << 1,
  SECCOMP_FILTER_FLAG_SPEC_ALLOW: 1 << 2,
  SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV: 1 << 5,
} as const;
export const NEW_LISTENER = 1 << 3;
/** Flags for the process that listens: without a listener the kernel answers EINVAL to them. */
export const OF_LISTENER = 1 << 5;

export interface Architecture {
  /** AUDIT_ARCH_*: what the filter finds in seccomp_data.arch. */
  audit: number;
  /** The column of this architecture's call numbers in SYSCALLS. */
  column: 0 | 1 | 2 | 3 | 4;
  /** Arguments have 32 bits, so conditions compare their low halves alone. (libseccomp does that for x32 too.) */
  narrow: boolean;
}

/** Architectures whose calls a program can make on a CPU that hako runs on. */
export const ARCHITECTURES: Readonly<Record<string, Architecture>> = {
  SCMP_ARCH_X86_64: { audit: 0xc000003e, column: 0, narrow: false },
  SCMP_ARCH_X86: { audit: 0x40000003, column: 1, narrow: true },
  SCMP_ARCH_X32: { audit: 0xc000003e, column: 2, narrow: true },
  SCMP_ARCH_AARCH64: { audit: 0xc00000b7, column: 3, narrow: false },
  SCMP_ARCH_ARM: { audit: 0x40000028, column: 4, narrow: true },
};

/** Architectures whose calls no program can make here. What a profile says of them is accepted, and has no effect. */
export const FOREIGN_ARCHITECTURES = [
  "SCMP_ARCH_MIPS",
  "SCMP_ARCH_MIPS64",
  "SCMP_ARCH_MIPS64N32",
  "SCMP_ARCH_MIPSEL",
  "SCMP_ARCH_MIPSEL64",
  "SCMP_ARCH_MIPSEL64N32",
  "SCMP_ARCH_PPC",
  "SCMP_ARCH_PPC64",
  "SCMP_ARCH_PPC64LE",
  "SCMP_ARCH_S390",
  "SCMP_ARCH_S390X",
  "SCMP_ARCH_PARISC",
  "SCMP_ARCH_PARISC64",
  "SCMP_ARCH_RISCV64",
  "SCMP_ARCH_LOONGARCH64",
  "SCMP_ARCH_M68K",
  "SCMP_ARCH_SH",
  "SCMP_ARCH_SHEB",
];

export const NATIVE = process.arch === "arm64" ? "SCMP_ARCH_AARCH64" : "SCMP_ARCH_X86_64";
export const X32_BIT = 0x40000000;
