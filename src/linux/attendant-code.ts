import { codeOf, codePage, loadTable, type MachineCode } from "./machine-code";

/** Words of the attendant's table before those that are its own: what it reads, a child's status, "". */
export interface AttendantTable {
  /** The descriptor that it reads reports from. */
  report: number;
  /** That of the program that it gives way to. */
  executable: number;
  /** The signal mask of that. */
  mask: bigint;
  /** The signals that it waits for. */
  signals: bigint;
}

const NAME_AT = 64;

/** Lays its table out; `name` is what it calls itself, of up to 15 bytes. */
export function attendantTable(
  { report, executable, mask, signals }: AttendantTable,
  name: string,
): Uint8Array {
  const bytes = new Uint8Array(NAME_AT + 16);
  bytes.set(new Uint8Array(new BigUint64Array([BigInt(report), BigInt(executable), mask, signals]).buffer));
  bytes.set(Buffer.from(name), NAME_AT);
  return bytes;
}

/**
 * Machine code of a program that attends a process which a table of steps makes: it is made beside this one, its pid and
 * failures are read from a pipe.
 *
 *     attend(table, argc, argv, envp):
 *         prctl(PR_SET_NAME, &table.name)
 *         pid = 0
 *         while ((length = read(table.report, &table.step, 16)) != 0) {
 *             if (length != 16 || table.step != -1 || table.result <= 0) goto failed
 *             // whoever can get at the process could say this too
 *             if (waitid(P_PID, table.result, NULL, WEXITED | WNOHANG | WNOWAIT) == 0) pid = table.result
 *         }
 *         if (pid == 0) goto failed
 *         for (;;) {
 *             ended = wait4(-1, &table.status, WNOHANG)
 *             if (ended == pid) exit_group(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status))
 *             if (ended < 0) exit_group(1)
 *             if (ended > 0) continue
 *             signal = rt_sigtimedwait(&table.signals, NULL, NULL)
 *             if (signal > 0 && signal != SIGCHLD) kill(pid, signal)
 *         }
 *     failed:
 *         if (pid != 0) kill(pid, SIGKILL), wait4(pid)
 *         close(table.report)
 *         fcntl(table.executable, F_SETFD, FD_CLOEXEC)
 *         rt_sigprocmask(SIG_SETMASK, &table.mask)
 *         execveat(table.executable, "", argv, envp, AT_EMPTY_PATH)
 *         exit_group(1)
 */
const ATTEND: MachineCode = {
  // the table in r12, the stack as it was at the start in r13, pid in rbx
  // mov %rsp,%r13; xor %ebx,%ebx; mov $15,%edi; lea 64(%r12),%rsi; mov $157,%eax; syscall
  // next: mov (%r12),%rdi; lea 32(%r12),%rsi; mov $16,%edx; xor %eax,%eax; syscall; test %rax,%rax; jz told
  // cmp $16,%rax; jne fail; cmpq $-1,32(%r12); jne fail; mov 40(%r12),%rsi; test %rsi,%rsi; jle fail
  // mov $1,%edi; xor %edx,%edx; mov $0x1000005,%r10d; xor %r8d,%r8d; mov $247,%eax; syscall; test %rax,%rax
  // jnz next; mov 40(%r12),%ebx; jmp next
  // told: test %ebx,%ebx; jz fail
  // look: mov $-1,%rdi; lea 48(%r12),%rsi; mov $1,%edx; xor %r10d,%r10d; mov $61,%eax; syscall; cmp %rbx,%rax
  // je ended; test %rax,%rax; js gone; jnz look; lea 24(%r12),%rdi; xor %esi,%esi; xor %edx,%edx
  // mov $8,%r10d; mov $128,%eax; syscall; test %eax,%eax; jle look; cmp $17,%eax; je look; mov %ebx,%edi
  // mov %eax,%esi; mov $62,%eax; syscall; jmp look
  // ended: movzbl 49(%r12),%edi; mov 48(%r12),%eax; and $0x7f,%eax; jz exit; lea 128(%rax),%edi
  // exit: mov $231,%eax; syscall
  // fail: test %ebx,%ebx; jz again; mov %ebx,%edi; mov $9,%esi; mov $62,%eax; syscall; mov %ebx,%edi
  // xor %esi,%esi; xor %edx,%edx; xor %r10d,%r10d; mov $61,%eax; syscall
  // again: mov (%r12),%rdi; mov $3,%eax; syscall; mov 8(%r12),%rdi; mov $2,%esi; mov $1,%edx; mov $72,%eax
  // syscall; mov $2,%edi; lea 16(%r12),%rsi; xor %edx,%edx; mov $8,%r10d; mov $14,%eax; syscall
  // mov 8(%r12),%rdi; lea 56(%r12),%rsi; lea 8(%r13),%rdx; mov (%r13),%rax; lea 16(%r13,%rax,8),%r10
  // mov $0x1000,%r8d; mov $322,%eax; syscall
  // gone: mov $1,%edi; jmp exit
  x64: `
    4989e531 dbbf0f00 0000498d 742440b8 9d000000 0f05498b 3c24498d 742420ba
    10000000 31c00f05 4885c074 474883f8 100f85b5 00000049 837c2420 ff0f85a9
    00000049 8b742428 4885f60f 8e9b0000 00bf0100 000031d2 41ba0500 00014531
    c0b8f700 00000f05 4885c075 a9418b5c 2428eba2 85db7474 48c7c7ff ffffff49
    8d742430 ba010000 004531d2 b83d0000 000f0548 39d87437 4885c00f 88cb0000
    0075d549 8d7c2418 31f631d2 41ba0800 0000b880 0000000f 0585c07e bb83f811
    74b689df 89c6b83e 0000000f 05eba941 0fb67c24 31418b44 243083e0 7f74068d
    b8800000 00b8e700 00000f05 85db741e 89dfbe09 000000b8 3e000000 0f0589df
    31f631d2 4531d2b8 3d000000 0f05498b 3c24b803 0000000f 05498b7c 2408be02
    000000ba 01000000 b8480000 000f05bf 02000000 498d7424 1031d241 ba080000
    00b80e00 00000f05 498b7c24 08498d74 2438498d 5508498b 45004d8d 54c51041
    b8001000 00b84201 00000f05 bf010000 00e96fff ffff`,
  // the table in x9, the stack in x10, pid in x11
  // mov x10,sp; mov x11,#0; mov x0,#15; add x1,x9,#64; mov x8,#167; svc #0
  // next: ldr x0,[x9]; add x1,x9,#32; mov x2,#16; mov x8,#63; svc #0; cbz x0,told; cmp x0,#16; b.ne fail
  // ldp x3,x1,[x9,#32]; cmn x3,#1; b.ne fail; cmp x1,#0; b.le fail; mov x12,x1; mov x0,#1; mov x2,#0
  // mov x3,#5; movk x3,#0x100,lsl #16; mov x4,#0; mov x8,#95; svc #0; cbnz x0,next; mov x11,x12; b next
  // told: cbz x11,fail
  // look: mov x0,#-1; add x1,x9,#48; mov x2,#1; mov x3,#0; mov x8,#260; svc #0; cmp x0,x11; b.eq ended
  // tbnz x0,#63,gone; cbnz x0,look; add x0,x9,#24; mov x1,#0; mov x2,#0; mov x3,#8; mov x8,#137; svc #0
  // cmp x0,#0; b.le look; cmp x0,#17; b.eq look; mov x1,x0; mov x0,x11; mov x8,#129; svc #0; b look
  // ended: ldr w1,[x9,#48]; ubfx x0,x1,#8,#8; ands x1,x1,#0x7f; b.eq exit; add x0,x1,#128
  // exit: mov x8,#94; svc #0
  // fail: cbz x11,again; mov x0,x11; mov x1,#9; mov x8,#129; svc #0; mov x0,x11; mov x1,#0; mov x2,#0
  // mov x3,#0; mov x8,#260; svc #0
  // again: ldr x0,[x9]; mov x8,#57; svc #0; ldr x0,[x9,#8]; mov x1,#2; mov x2,#1; mov x8,#25; svc #0
  // mov x0,#2; add x1,x9,#16; mov x2,#0; mov x3,#8; mov x8,#135; svc #0; ldr x0,[x9,#8]; add x1,x9,#56
  // add x2,x10,#8; ldr x3,[x10]; add x3,x10,x3,lsl #3; add x3,x3,#16; mov x4,#0x1000; mov x8,#281; svc #0
  // gone: mov x0,#1; b exit
  arm64: `
    ea030091 0b0080d2 e00180d2 21010191 e81480d2 010000d4 200140f9 21810091
    020280d2 e80780d2 010000d4 600200b4 1f4000f1 41060054 230542a9 7f0400b1
    e1050054 3f0000f1 ad050054 ec0301aa 200080d2 020080d2 a30080d2 0320a0f2
    040080d2 e80b80d2 010000d4 60fdffb5 eb030caa e9ffff17 2b0400b4 00008092
    21c10091 220080d2 030080d2 882080d2 010000d4 1f000beb 40020054 4007f8b7
    e0feffb5 20610091 010080d2 020080d2 030180d2 281180d2 010000d4 1f0000f1
    edfdff54 1f4400f1 a0fdff54 e10300aa e0030baa 281080d2 010000d4 e8ffff17
    213140b9 203c48d3 211840f2 40000054 20000291 c80b80d2 010000d4 6b0100b4
    e0030baa 210180d2 281080d2 010000d4 e0030baa 010080d2 020080d2 030080d2
    882080d2 010000d4 200140f9 280780d2 010000d4 200540f9 410080d2 220080d2
    280380d2 010000d4 400080d2 21410091 020080d2 030180d2 e81080d2 010000d4
    200540f9 21e10091 42210091 430140f9 430d038b 63400091 040082d2 282380d2
    010000d4 200080d2 dbffff17`,
};

/**
 * A handler that sends the signal on to the first thread of the process, and what returns from it.
 *
 *     redirect(signal):
 *         tgkill(getpid(), getpid(), signal)
 */
const REDIRECT: MachineCode = {
  // mov %edi,%r8d; mov $39,%eax; syscall; mov %eax,%edi; mov %eax,%esi; mov %r8d,%edx; mov $234,%eax; syscall; ret
  x64: "4189f8b8 27000000 0f0589c7 89c64489 c2b8ea00 00000f05 c3",
  // mov x9,x0; mov x8,#172; svc #0; mov x1,x0; mov x2,x9; mov x8,#131; svc #0; ret
  arm64: "e90300aa 881580d2 010000d4 e10300aa e20309aa 681080d2 010000d4 c0035fd6",
};

/** mov $15,%eax; syscall: rt_sigreturn. arm64's kernel brings its own. */
const RESTORE: MachineCode = { x64: "b80f0000 000f05" };

/** The attendant as a program whose table is at this address. */
export function attendantCode(table: number): Uint8Array {
  return Buffer.concat([loadTable(table), codeOf(ATTEND)]);
}

const SA_RESTORER = 0x04000000;
const SA_RESTART = 0x10000000;

/** The handler as the kernel's struct sigaction (rt_sigaction(2)). */
export function redirectAction(): BigUint64Array {
  const code = codeOf(REDIRECT);
  const handler = codePage(codeOf(REDIRECT, RESTORE));
  const [flags, restorer] = process.arch === "arm64" ? [0, 0] : [SA_RESTORER, handler + code.length];
  return new BigUint64Array([handler, SA_RESTART | flags, restorer, 0].map(BigInt));
}
