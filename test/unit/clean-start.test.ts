// The code before Bun's first instruction, on both processors.
import { afterAll, describe, expect, test } from "bun:test";
import { spawnSync } from "node:child_process";
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { HIDDEN, type Machine, startingClean } from "../../scripts/clean-start";

const directory = mkdtempSync(`${tmpdir()}/hako-clean-start-`);
afterAll(() => rmSync(directory, { recursive: true }));

/**
 * A program that writes the text that its first and its last variable are, and ends with the exit status of getcwd(2): 0, or 1 where
 * it fails. It takes 16 bytes of each.
 */
const PROGRAM: Record<Machine, string> = {
  x64: `
    488b0424            mov (%rsp),%rax
    488d5cc410          lea 16(%rsp,%rax,8),%rbx
    488b33              mov (%rbx),%rsi
    bf01000000          mov $1,%edi
    ba10000000          mov $16,%edx
    b801000000          mov $1,%eax
    0f05                syscall
    4883c308            next: add $8,%rbx
    48833b00            cmpq $0,(%rbx)
    75f6                jne next
    488b73f8            mov -8(%rbx),%rsi
    bf01000000          mov $1,%edi
    ba10000000          mov $16,%edx
    b801000000          mov $1,%eax
    0f05                syscall
    4881ec00100000      sub $4096,%rsp
    4889e7              mov %rsp,%rdi
    be00100000          mov $4096,%esi
    b84f000000          mov $79,%eax
    0f05                syscall
    89c7                mov %eax,%edi
    c1ef1f              shr $31,%edi
    b83c000000          mov $60,%eax
    0f05                syscall`,
  arm64: `
    f94003e9  ldr x9,[sp]
    8b296ff3  add x19,sp,x9,lsl #3
    91004273  add x19,x19,#16
    f9400261  ldr x1,[x19]
    d2800020  mov x0,#1
    d2800202  mov x2,#16
    d2800808  mov x8,#64
    d4000001  svc #0
    f8408e69  next: ldr x9,[x19,#8]!
    b5ffffe9  cbnz x9,next
    f85f8261  ldur x1,[x19,#-8]
    d2800020  mov x0,#1
    d2800202  mov x2,#16
    d2800808  mov x8,#64
    d4000001  svc #0
    d14007ff  sub sp,sp,#4096
    910003e0  mov x0,sp
    d2820001  mov x1,#4096
    d2800228  mov x8,#17
    d4000001  svc #0
    d35f7c00  ubfx x0,x0,#31,#1
    d2800ba8  mov x8,#93
    d4000001  svc #0`,
};

const MACHINE: Record<Machine, number> = { x64: 62, arm64: 183 };
const BASE = 0x400000;
const HEADERS = 64 + 56;

/** An executable (elf(5)) that is the program and nothing else. */
function executable(machine: Machine): Buffer {
  const words = PROGRAM[machine].trim().split("\n");
  const code = Buffer.from(words.map((line) => line.trim().split(" ")[0]).join(""), "hex");
  if (machine === "arm64") code.swap32();
  const bytes = Buffer.concat([Buffer.alloc(HEADERS), code]);
  Buffer.from("7f454c46020101", "hex").copy(bytes);
  bytes.writeUInt16LE(2, 16);
  bytes.writeUInt16LE(MACHINE[machine], 18);
  bytes.writeUInt32LE(1, 20);
  bytes.writeBigUInt64LE(BigInt(BASE + HEADERS), 24);
  bytes.writeBigUInt64LE(64n, 32);
  for (const [at, value] of [
    [52, 64],
    [54, 56],
    [56, 1],
    [58, 64],
  ] as const)
    bytes.writeUInt16LE(value, at);
  bytes.writeUInt32LE(1, 64);
  bytes.writeUInt32LE(5, 68);
  for (const [at, value] of [
    [80, BASE],
    [88, BASE],
    [96, bytes.length],
    [104, bytes.length],
    [112, 0x10000],
  ] as const)
    bytes.writeBigUInt64LE(BigInt(value), at);
  return bytes;
}

function howToRun(machine: Machine): string[] | undefined {
  if (machine === process.arch) return [];
  const emulator = Bun.which(machine === "arm64" ? "qemu-aarch64" : "qemu-x86_64");
  return emulator === null ? undefined : [emulator];
}

for (const machine of ["x64", "arm64"] as const) {
  const how = howToRun(machine);
  if (how === undefined) console.log(`skipped: clean start of ${machine}: no qemu for it`);
  describe.skipIf(how === undefined)(`before the first instruction on ${machine}`, () => {
    const run = (bytes: Buffer, env: Record<string, string>, line = 'exec "$@"') => {
      const file = `${directory}/${machine}`;
      writeFileSync(file, bytes, { mode: 0o755 });
      const words = ["-c", line, "sh", ...(how ?? []), file];
      // its first and last variable: more than sh adds
      const { status, stdout } = spawnSync("/bin/bash", words, { env, cwd: directory, encoding: "latin1" });
      // qemu turns their order round
      return {
        status,
        seen: [stdout.slice(0, 16), stdout.slice(16)].map((text) => text.split("\0")[0]).sort(),
      };
    };
    const plain = executable(machine);
    const clean = startingClean(plain, machine);
    const gone = `${directory}/gone`;
    const inDeleted = `mkdir ${gone} && cd ${gone} && rmdir ${gone} && exec "$@"`;

    test("variables are hidden", () => {
      const onlyThese = 'exec env -i FIRST=1 B=2 LAST=3 "$@"';
      expect(run(plain, {}, onlyThese).seen).toEqual(["FIRST=1", "LAST=3"]);
      expect(run(clean, {}, onlyThese).seen).toEqual(HIDDEN.map((text) => text.slice(0, 16)));
      expect(run(clean, {}, 'exec env -i ONLY=1 "$@"').seen).toEqual(
        [HIDDEN[0], HIDDEN[0]].map((text) => text.slice(0, 16)),
      );
    });

    test("a working directory that was deleted is put away, another one stays", () => {
      expect(run(plain, { A: "1" }, inDeleted).status).toBe(1);
      expect(run(clean, { A: "1" }, inDeleted).status).toBe(0);
      expect(run(clean, { A: "1" }).status).toBe(0);
    });
  });
}

describe("Bun's own executable", () => {
  const bun = readFileSync(process.execPath);
  const machine = process.arch === "arm64" ? "arm64" : "x64";

  test("starts clean, and runs as before", () => {
    const file = `${directory}/bun`;
    writeFileSync(file, startingClean(bun, machine), { mode: 0o755 });
    mkdirSync(`${directory}/work`);
    const program = "console.log(JSON.stringify(process.env), process.cwd())";
    const options = {
      env: { BUN_JSC_dumpOptions: "2", A: "1" },
      cwd: `${directory}/work`,
      encoding: "utf8",
    } as const;
    const { status, stdout, stderr } = spawnSync(file, ["-e", program], options);
    const hidden = Object.fromEntries(HIDDEN.map((text) => text.split("=")));
    expect({ status, stdout, stderr }).toEqual({
      status: 0,
      stdout: `${JSON.stringify(hidden)} ${directory}/work\n`,
      stderr: "",
    });
  });
});
