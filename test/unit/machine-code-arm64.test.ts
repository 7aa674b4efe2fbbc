// Machine code for arm64 that is part of a process, emulated: what makes a child and walks its table, and a handler of signals.
import { expect, test } from "bun:test";
import { BACK_AT, PIPE_REGISTER, RECORDER } from "../../src/linux/attendant/signal-recorder";
import { concatenated } from "../../src/linux/call/bytes";
import type { Fd } from "../../src/linux/call/fd";
import { type SyscallName, syscallNumberOn } from "../../src/linux/call/syscall-numbers";
import { SPAWN_BY_FLAGS, STEP_WALKER } from "../../src/linux/steps/clone-code";
import { DATA_AT, elfProgram } from "../../src/linux/steps/elf";
import { codeFor, loadNumber } from "../../src/linux/steps/machine-code";
import { assembled, PREFIXES } from "./assembler";

const QEMU = Bun.which("qemu-aarch64");
const ASSEMBLER = Bun.which(`${PREFIXES.arm64}as`);
const missing = QEMU === null ? "qemu-aarch64" : ASSEMBLER === null ? `${PREFIXES.arm64}as` : undefined;
if (missing !== undefined) console.log(`skipped: machine code of arm64: ${missing} is not installed`);

/** Runs a text of the assembler's, behind which lie this code and these data (x20). */
function run(text: string, code: Uint8Array, data: BigInt64Array) {
  const begin = Buffer.from(
    assembled(`movz x20,#${DATA_AT >>> 16},lsl #16\n${text}\nbehind:\n`, PREFIXES.arm64),
    "hex",
  );
  const bytes = new Uint8Array(4096);
  bytes.set(new Uint8Array(data.buffer));
  using program: Fd = elfProgram("test", concatenated([begin, code]), bytes, "arm64");
  const { exitCode, stdout } = Bun.spawnSync([QEMU ?? "", `/proc/${process.pid}/fd/${program.number}`]);
  return { exitCode, stdout };
}

/** A step in a table: the call's number, six arguments, and its bounds. */
function row(call: SyscallName, args: readonly number[], least: bigint): bigint[] {
  const six = Array.from({ length: 6 }, (_, index) => BigInt(args[index] ?? 0));
  return [BigInt(syscallNumberOn("arm64", call)), ...six, least, 2n ** 63n - 1n];
}

/** Makes a child that walks the table, and ends with its exit status. */
const SPAWN_AND_WAIT = `
  mov x0,x20
  mov x1,#17  // SIGCHLD
  mov x2,#0
  bl behind
  cmp x0,#0
  b.le failed
  add x1,x20,#0x800
  mov x2,#0
  mov x3,#0
  mov x8,#${syscallNumberOn("arm64", "wait4")}
  svc #0
  ldr w0,[x20,#0x800]
  ubfx x0,x0,#8,#8
exit:
  mov x8,#${syscallNumberOn("arm64", "exit_group")}
  svc #0
failed:
  mov x0,#99
  b exit`;

test.skipIf(missing !== undefined)("a child on arm64 walks its table, and tells where it ends", () => {
  const [OUTPUT, NO_DESCRIPTOR, LEAST] = [1, 99, -(2n ** 63n)];
  const code = codeFor("arm64", SPAWN_BY_FLAGS, STEP_WALKER);
  const write = (fd: number, least: bigint) => row("write", [fd, DATA_AT, 8], least);
  const header = [BigInt(OUTPUT), 0n, 0n];
  const exit = row("exit_group", [7], 0n);
  const walked = run(
    SPAWN_AND_WAIT,
    code,
    new BigInt64Array([...header, ...write(NO_DESCRIPTOR, LEAST), ...write(OUTPUT, 8n), ...exit]),
  );
  expect([walked.exitCode, walked.stdout.length]).toEqual([7, 8]);
  const ended = run(
    SPAWN_AND_WAIT,
    code,
    new BigInt64Array([...header, ...write(OUTPUT, 8n), ...write(NO_DESCRIPTOR, 0n), ...exit]),
  );
  expect(ended.exitCode).toBe(1);
  // what the first step wrote; then the number of the step, and EBADF
  expect([...new BigInt64Array(new Uint8Array(ended.stdout).buffer)]).toEqual([1n, 1n, -9n]);
});

/** Gets a signal whose handler lies behind, and writes what comes out of the pipe. */
const BE_SIGNALLED = `
  add x0,x20,#0x800
  mov x1,#0
  mov x8,#${syscallNumberOn("arm64", "pipe2")}
  svc #0
  adr x9,behind
  str x9,[x20]
  add x9,x9,#${BACK_AT.arm64}
  str x9,[x20,#16]
  mov x0,#10  // SIGUSR1
  mov x1,x20
  mov x2,#0
  mov x3,#8
  mov x8,#${syscallNumberOn("arm64", "rt_sigaction")}
  svc #0
  mov x8,#${syscallNumberOn("arm64", "getpid")}
  svc #0
  mov x1,#10
  mov x8,#${syscallNumberOn("arm64", "kill")}
  svc #0
  ldr w0,[x20,#0x800]
  add x1,x20,#0x900
  mov x2,#8
  mov x8,#${syscallNumberOn("arm64", "read")}
  svc #0
  mov x2,x0
  mov x0,#1
  add x1,x20,#0x900
  mov x8,#${syscallNumberOn("arm64", "write")}
  svc #0
  mov x0,#5
  mov x8,#${syscallNumberOn("arm64", "exit_group")}
  svc #0`;

test.skipIf(missing !== undefined)(
  "a signal on arm64 comes out of the recorder's pipe, and the program goes on",
  () => {
    const [SA_RESTORER, FIRST_FREE] = [0x04000000n, 3];
    // the writing end of the program's pipe
    const code = concatenated([
      loadNumber(FIRST_FREE + 1, PIPE_REGISTER, "arm64"),
      codeFor("arm64", RECORDER),
    ]);
    const { exitCode, stdout } = run(BE_SIGNALLED, code, new BigInt64Array([0n, SA_RESTORER, 0n, 0n]));
    expect(exitCode).toBe(5);
    expect([...new BigInt64Array(new Uint8Array(stdout).buffer)]).toEqual([10n]);
  },
);
