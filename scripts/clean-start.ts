// Makes an executable of Bun's start as if nobody had called it: with no variables, with no signal ignored or blocked, and in a
// directory that is there. Bun looks at all of these before hako's first line runs: variables make it load other code, write
// files and open ports, and without a working directory it ends. What is put away so, hako looks up (src/linux/file/clean-start.ts).
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { CLEAN_START_HEADER, CLEAN_START_MAGIC } from "../src/linux/file/clean-start-layout";
import { memoryAddress, withEntryCode } from "./entry-segment";

export type Machine = "x64" | "arm64";

/** What the code can write to: the record, zeros as a struct sigaction and a set of signals, a struct sigaction, a path. */
const MEMORY = 96 + 4096;
/**
 * What stands in the place of the first variable, and of each other one. Their number stays: musl finds what the kernel says of
 * the process behind them. It is the one thing that Bun is told. JavaScriptCore reserves 32 MiB for code that it compiles, not
 * 1 GiB, which a limit of address space (ulimit -v) may not allow: without any, nothing can be called by bun:ffi. And it
 * makes no memory ready beside the program, in a thread of its own, which a command ends before it would use: some hundredths of
 * its time, and 200 page faults.
 */
export const HIDDEN = [
  "BUN_JSC_jitMemoryReservationSize=33554432",
  "BUN_JSC_useWarmUpMarkedBlocks=0",
] as const;
/** Bytes for each of them; the code knows it. */
const HIDDEN_SIZE = 48;

/**
 * Hides all variables. For all signals: the default action, and a bit in the record
 * where one was ignored. Then the mask of signals, and the directory: getcwd(2) fails if it was deleted, and gives no absolute path if
 * it was unmounted. Then it is opened, its descriptor and one are put into the record, and "/" takes its place.
 *
 * A test assembles the text beside the hexadecimal, with the label "entry" before it and `LABELS` behind it.
 */
export const CODE: Record<Machine, string> = {
  x64: `
      4989d4                mov %rdx,%r12
      488d1df6ffffff        lea entry(%rip),%rbx
      488b6bf0              mov -16(%rbx),%rbp
      4801dd                add %rbx,%rbp
      4c8d05c3000000        lea hidden(%rip),%r8
      488b0424              mov (%rsp),%rax
      488d7cc408            lea 8(%rsp,%rax,8),%rdi
      4883c708              variable: add $8,%rdi
      488b07                mov (%rdi),%rax
      4885c0                test %rax,%rax
      740c                  je signals
      4c8907                mov %r8,(%rdi)
      4c8d05d4000000        lea hidden+48(%rip),%r8
      ebe8                  jmp variable
      41bd40000000          signals: mov $64,%r13d
      4489ef                signal: mov %r13d,%edi
      488d7520              lea 32(%rbp),%rsi
      488d5540              lea 64(%rbp),%rdx
      41ba08000000          mov $8,%r10d
      b80d000000            mov $13,%eax
      0f05                  syscall
      85c0                  test %eax,%eax
      750f                  jne another
      837d4001              cmpl $1,64(%rbp)
      7509                  jne another
      418d4dff              lea -1(%r13),%ecx
      480fab4d00            bts %rcx,(%rbp)
      41ffcd                another: dec %r13d
      75d0                  jne signal
      bf02000000            mov $2,%edi
      488d5508              lea 8(%rbp),%rdx
      b80e000000            mov $14,%eax
      0f05                  syscall
      488d7d60              lea 96(%rbp),%rdi
      be00100000            mov $4096,%esi
      b84f000000            mov $79,%eax
      0f05                  syscall
      85c0                  test %eax,%eax
      7e06                  jle away
      807d602f              cmpb $47,96(%rbp)
      7432                  je go
      bf9cffffff            away: mov $-100,%edi
      488d3532000000        lea here(%rip),%rsi
      ba00002900            mov $0x290000,%edx
      4531d2                xor %r10d,%r10d
      b801010000            mov $257,%eax
      0f05                  syscall
      85c0                  test %eax,%eax
      7813                  js go
      ffc0                  inc %eax
      894510                mov %eax,16(%rbp)
      488d3d15000000        lea top(%rip),%rdi
      b850000000            mov $80,%eax
      0f05                  syscall
      488b43f8              go: mov -8(%rbx),%rax
      4801d8                add %rbx,%rax
      4c89e2                mov %r12,%rdx
      ffe0                  jmp *%rax
    `,
  // words, as the disassembler shows them
  arm64: `
      aa0003f3  mov x19,x0
      10fffff4  adr x20,entry
      f85f0295  ldur x21,[x20,#-16]
      8b1402b5  add x21,x21,x20
      10000796  adr x22,hidden
      f94003e9  ldr x9,[sp]
      8b296fea  add x10,sp,x9,lsl #3
      9100214a  add x10,x10,#8
      f8408d49  variable: ldr x9,[x10,#8]!
      b4000089  cbz x9,signals
      f9000156  str x22,[x10]
      10000836  adr x22,hidden+48
      17fffffc  b variable
      d2800817  signals: mov x23,#64
      d2800038  mov x24,#1
      aa1703e0  signal: mov x0,x23
      910082a1  add x1,x21,#32
      910102a2  add x2,x21,#64
      d2800103  mov x3,#8
      d28010c8  mov x8,#134
      d4000001  svc #0
      b5000120  cbnz x0,another
      f94022a9  ldr x9,[x21,#64]
      f100053f  cmp x9,#1
      540000c1  b.ne another
      d10006e9  sub x9,x23,#1
      9ac92309  lsl x9,x24,x9
      f94002aa  ldr x10,[x21]
      aa09014a  orr x10,x10,x9
      f90002aa  str x10,[x21]
      f10006f7  another: subs x23,x23,#1
      54fffe01  b.ne signal
      d2800040  mov x0,#2
      910082a1  add x1,x21,#32
      910022a2  add x2,x21,#8
      d2800103  mov x3,#8
      d28010e8  mov x8,#135
      d4000001  svc #0
      910182a0  add x0,x21,#96
      d2820001  mov x1,#4096
      d2800228  mov x8,#17
      d4000001  svc #0
      37f80080  tbnz w0,#31,away
      394182a9  ldrb w9,[x21,#96]
      7100bd3f  cmp w9,#47
      540001c0  b.eq go
      92800c60  away: mov x0,#-100
      10000201  adr x1,here
      d2880002  mov x2,#0x4000
      f2a00502  movk x2,#0x28,lsl #16
      d2800003  mov x3,#0
      d2800708  mov x8,#56
      d4000001  svc #0
      37f800c0  tbnz w0,#31,go
      11000400  add w0,w0,#1
      b90012a0  str w0,[x21,#16]
      500000e0  adr x0,top
      d2800628  mov x8,#49
      d4000001  svc #0
      f85f8289  go: ldur x9,[x20,#-8]
      8b140129  add x9,x9,x20
      aa1303e0  mov x0,x19
      d61f0120  br x9
    `,
};

/** What lies behind the code, in the assembler's words: texts, and what hides variables. */
export const LABELS = `
  here: .asciz "."
  top: .asciz "/"
  hidden: .fill ${HIDDEN.length * HIDDEN_SIZE}
`;

export function codeOf(machine: Machine): Buffer {
  const digits = CODE[machine]
    .trim()
    .split("\n")
    .map((line) => line.trim().split(" ")[0] ?? "");
  const code = Buffer.from(digits.join(""), "hex");
  return machine === "arm64" ? code.swap32() : code;
}

/** What the code goes by, the code, and its texts: the two directories, what hides a variable. */
function cleanStart(machine: Machine, address: number, next: number): Buffer {
  const entry = address + CLEAN_START_HEADER.size;
  const header = Buffer.alloc(CLEAN_START_HEADER.size);
  header.writeBigUInt64LE(CLEAN_START_MAGIC, CLEAN_START_HEADER.magic);
  header.writeBigInt64LE(BigInt(memoryAddress(address) - entry), CLEAN_START_HEADER.record);
  header.writeBigInt64LE(BigInt(next - entry), CLEAN_START_HEADER.next);
  const texts = [".\0", "/\0", ...HIDDEN.map((text) => text.padEnd(HIDDEN_SIZE, "\0"))].join("");
  return Buffer.concat([header, codeOf(machine), Buffer.from(texts)]);
}

/** The executable that starts so. */
export function startingClean(bytes: Buffer, machine: Machine): Buffer {
  return withEntryCode(bytes, {
    code: (address, next) => cleanStart(machine, address, next),
    entry: CLEAN_START_HEADER.size,
    memory: MEMORY,
  });
}

/** Changes the file that Bun compiled. */
export function withCleanStart(file: string, machine: Machine): void {
  const changed = `${file}.changed`;
  writeFileSync(changed, startingClean(readFileSync(file), machine), { mode: 0o755 });
  renameSync(changed, file);
}
