import type { AccessRule } from "./device-rules";

/** Registers: r1 holds the context at entry; the others are ours (r0 is the result). */
const R0 = 0;
const R1 = 1;
const TYPE = 2;
const ACCESS = 3;
const MAJOR = 4;
const MINOR = 5;

/** Operation codes (linux/bpf.h, linux/bpf_common.h). */
const LOAD_WORD = 0x61; // BPF_LDX | BPF_MEM | BPF_W
const AND = 0x54; // BPF_ALU | BPF_AND | BPF_K
const SHIFT_RIGHT = 0x74; // BPF_ALU | BPF_RSH | BPF_K
const MOVE = 0xb7; // BPF_ALU64 | BPF_MOV | BPF_K
const MOVE_REGISTER = 0xbf; // BPF_ALU64 | BPF_MOV | BPF_X
const JUMP_EQUAL = 0x15; // BPF_JMP | BPF_JEQ | BPF_K
const JUMP_NOT_EQUAL = 0x55; // BPF_JMP | BPF_JNE | BPF_K
const EXIT = 0x95; // BPF_JMP | BPF_EXIT

const DEVICE_TYPE = { b: 1, c: 2 } as const; // BPF_DEVCG_DEV_BLOCK, _CHAR
const ACCESS_BIT: Record<string, number> = { m: 1, r: 2, w: 4 }; // BPF_DEVCG_ACC_MKNOD, _READ, _WRITE
const ALL_ACCESS = 7;

interface Instruction {
  code: number;
  dst?: number;
  src?: number;
  offset?: number;
  imm?: number;
}

function accessMask(access: string): number {
  return [...access].reduce((mask, letter) => mask | (ACCESS_BIT[letter] ?? 0), 0);
}

function exit(result: 0 | 1): Instruction[] {
  return [{ code: MOVE, dst: R0, imm: result }, { code: EXIT }];
}

/** The code for a device that a rule is about. ACCESS has the letters that no later rule has decided yet. */
function decision(rule: AccessRule): Instruction[] {
  const mask = accessMask(rule.access);
  if (mask === ALL_ACCESS) return exit(rule.allow ? 1 : 0);
  const result = exit(rule.allow ? 1 : 0);
  const skip = result.length;
  return rule.allow
    ? [
        { code: AND, dst: ACCESS, imm: ALL_ACCESS & ~mask },
        { code: JUMP_NOT_EQUAL, dst: ACCESS, imm: 0, offset: skip },
        ...result,
      ]
    : [
        { code: MOVE_REGISTER, dst: R1, src: ACCESS },
        { code: AND, dst: R1, imm: mask },
        { code: JUMP_EQUAL, dst: R1, imm: 0, offset: skip },
        ...result,
      ];
}

/** The code of one rule: comparisons that jump over its decision. */
function block(rule: AccessRule): Instruction[] {
  const instructions = decision(rule);
  const compare = (dst: number, imm: number) =>
    instructions.unshift({ code: JUMP_NOT_EQUAL, dst, imm, offset: instructions.length });
  if (rule.minor !== undefined) compare(MINOR, Number(rule.minor));
  if (rule.major !== undefined) compare(MAJOR, Number(rule.major));
  if (rule.type !== "a") compare(TYPE, DEVICE_TYPE[rule.type]);
  return instructions;
}

function encode(instructions: readonly Instruction[]): Uint8Array {
  const view = new DataView(new ArrayBuffer(instructions.length * 8));
  instructions.forEach(({ code, dst = 0, src = 0, offset = 0, imm = 0 }, index) => {
    view.setUint8(index * 8, code);
    view.setUint8(index * 8 + 1, (src << 4) | dst);
    view.setInt16(index * 8 + 2, offset, true);
    view.setInt32(index * 8 + 4, imm, true);
  });
  return new Uint8Array(view.buffer);
}

/**
 * The rules as a program of type BPF_PROG_TYPE_CGROUP_DEVICE, which returns 1 to allow.
 *
 * For each letter of the access the last rule about the device counts. So the program tries the rules from the last to the first: a
 * forbidden letter ends it, and allowed letters are struck off until none is left. What no rule is about is forbidden.
 */
export function deviceProgram(rules: readonly AccessRule[]): Uint8Array {
  const program: Instruction[] = [
    // struct bpf_cgroup_dev_ctx { u32 access_type /* access << 16 | type */; u32 major; u32 minor; }
    { code: LOAD_WORD, dst: TYPE, src: R1, offset: 0 },
    { code: LOAD_WORD, dst: ACCESS, src: R1, offset: 0 },
    { code: LOAD_WORD, dst: MAJOR, src: R1, offset: 4 },
    { code: LOAD_WORD, dst: MINOR, src: R1, offset: 8 },
    { code: AND, dst: TYPE, imm: 0xffff },
    { code: SHIFT_RIGHT, dst: ACCESS, imm: 16 },
  ];
  for (const rule of rules.toReversed()) {
    program.push(...block(rule));
    // This rule decides everything, and the kernel refuses code that can't be reached.
    if (rule.type === "a" && rule.major === undefined && rule.minor === undefined && rule.access === "rwm") {
      return encode(program);
    }
  }
  return encode([...program, ...exit(0)]);
}
