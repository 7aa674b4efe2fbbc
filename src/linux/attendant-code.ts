import { bytesOf, concatenated } from "./bytes";
import { codeOf, loadTable, type MachineCode } from "./machine-code";

/** Words of the attendant's table; others are its own: what it reads, a child's status, "". */
export interface AttendantTable {
  /** The descriptor that it reads reports from. */
  report: number;
  /** That of the program that it gives way to. */
  executable: number;
  /** The signal mask of that. */
  mask: bigint;
  /** The signals that it waits for. */
  signals: bigint;
  /** Where it lets the process go. */
  go: number;
}

const NAME_AT = 64;
const GO_AT = NAME_AT + 16;

/** Lays its table out; `name` is what it calls itself, of up to 15 bytes. */
export function attendantTable(
  { report, executable, mask, signals, go }: AttendantTable,
  name: string,
): Uint8Array {
  const bytes = new Uint8Array(GO_AT + 8);
  bytes.set(new Uint8Array(new BigUint64Array([BigInt(report), BigInt(executable), mask, signals]).buffer));
  bytes.set(bytesOf(name), NAME_AT);
  new DataView(bytes.buffer).setBigUint64(GO_AT, BigInt(go), true);
  return bytes;
}

/**
 * Machine code of a program that attends a process which a table of steps makes: it is made beside this one, its pid and
 * failures are read from a pipe.
 *
 *     attend(table, argc, argv, envp):
 *         prctl(PR_SET_NAME, &table.name)
 *         write(table.go, &table.name, 1), close(table.go)
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
  // mov %rsp,%r13; xor %ebx,%ebx; mov $15,%edi; lea 64(%r12),%rsi; mov $157,%eax; syscall; mov 80(%r12),%rdi
  // lea 64(%r12),%rsi; mov $1,%edx; mov $1,%eax; syscall; mov 80(%r12),%rdi; mov $3,%eax; syscall
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
    4989e531 dbbf0f00 0000498d 742440b8 9d000000 0f05498b 7c245049 8d742440
    ba010000 00b80100 00000f05 498b7c24 50b80300 00000f05 498b3c24 498d7424
    20ba1000 000031c0 0f054885 c0744748 83f8100f 85b50000 0049837c 2420ff0f
    85a90000 00498b74 24284885 f60f8e9b 000000bf 01000000 31d241ba 05000001
    4531c0b8 f7000000 0f054885 c075a941 8b5c2428 eba285db 747448c7 c7ffffff
    ff498d74 2430ba01 00000045 31d2b83d 0000000f 054839d8 74374885 c00f88cb
    00000075 d5498d7c 241831f6 31d241ba 08000000 b8800000 000f0585 c07ebb83
    f81174b6 89df89c6 b83e0000 000f05eb a9410fb6 7c243141 8b442430 83e07f74
    068db880 000000b8 e7000000 0f0585db 741e89df be090000 00b83e00 00000f05
    89df31f6 31d24531 d2b83d00 00000f05 498b3c24 b8030000 000f0549 8b7c2408
    be020000 00ba0100 0000b848 0000000f 05bf0200 0000498d 74241031 d241ba08
    000000b8 0e000000 0f05498b 7c240849 8d742438 498d5508 498b4500 4d8d54c5
    1041b800 100000b8 42010000 0f05bf01 000000e9 6fffffff`,
  // the table in x9, the stack in x10, pid in x11
  // mov x10,sp; mov x11,#0; mov x0,#15; add x1,x9,#64; mov x8,#167; svc #0; ldr x0,[x9,#80]; add x1,x9,#64
  // mov x2,#1; mov x8,#64; svc #0; ldr x0,[x9,#80]; mov x8,#57; svc #0
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
    ea030091 0b0080d2 e00180d2 21010191 e81480d2 010000d4 202940f9 21010191
    220080d2 080880d2 010000d4 202940f9 280780d2 010000d4 200140f9 21810091
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

/** The attendant as a program whose table is at this address. */
export function attendantCode(table: number): Uint8Array {
  return concatenated([loadTable(table), codeOf(ATTEND)]);
}
