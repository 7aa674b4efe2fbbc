/** Classic BPF as seccomp takes it (linux/bpf_common.h, filter.rst): relative jumps, forward only. */

/** struct sock_filter: code, jump if true, jump if false, constant. */
export type Instruction = readonly [code: number, jt: number, jf: number, k: number];

const LD_W_ABS = 0x20;
const RET_K = 0x06;
const AND_K = 0x54;
const JUMP = 0x05;
const JEQ_K = 0x15;
const JGT_K = 0x25;
const JGE_K = 0x35;

/** The longest conditional jump: its offset is a byte. */
export const FAR = 255;
const SIZE = 8;
/** BPF_MAXINSNS */
export const MAX_INSTRUCTIONS = 4096;

/** Offsets in struct seccomp_data. */
export const NUMBER = 0;
export const ARCHITECTURE = 4;

/** The offset in struct seccomp_data of half of an argument. All CPUs here are little-endian. */
export function half(argument: number, which: "low" | "high"): number {
  return 16 + 8 * argument + (which === "low" ? 0 : 4);
}

export const load = (offset: number): Instruction => [LD_W_ABS, 0, 0, offset];
export const answer = (value: number): Instruction => [RET_K, 0, 0, value];
export const and = (mask: number): Instruction => [AND_K, 0, 0, mask];
export const jump = (over: number): Instruction => [JUMP, 0, 0, over];
export const ifEqual = (k: number, yes: number, no: number): Instruction => [JEQ_K, yes, no, k];
export const ifGreater = (k: number, yes: number, no: number): Instruction => [JGT_K, yes, no, k];
export const ifAtLeast = (k: number, yes: number, no: number): Instruction => [JGE_K, yes, no, k];

/** Gives `small` where the accumulator is below `k`, and `large` otherwise. */
export function branch(
  k: number,
  small: readonly Instruction[],
  large: readonly Instruction[],
): Instruction[] {
  const over = small.length;
  const test = over <= FAR ? [ifAtLeast(k, over, 0)] : [ifAtLeast(k, 0, 1), jump(over)];
  return [...test, ...small, ...large];
}

/** The size of struct seccomp_data, from which alone a filter can load. */
const DATA_SIZE = 64;

/**
 * Whether bytes are a program that `assemble` could have made: its instructions alone, no jump out of the program, an answer at the
 * end.
 */
export function isProgram(bytes: Uint8Array): boolean {
  const count = bytes.length / SIZE;
  if (!Number.isInteger(count) || count < 1 || count > MAX_INSTRUCTIONS) return false;
  const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 2 * count);
  for (let index = 0; index < count; index++) {
    const word = words[2 * index] ?? 0;
    const k = words[2 * index + 1] ?? 0;
    const after = count - index - 1;
    switch (word & 0xffff) {
      case JEQ_K:
      case JGT_K:
      case JGE_K:
        if (((word >> 16) & 0xff) >= after || word >>> 24 >= after) return false;
        break;
      case RET_K:
        if (word >>> 16 !== 0) return false;
        break;
      case LD_W_ABS:
        if (k % 4 !== 0 || k >= DATA_SIZE || after === 0) return false;
        break;
      case AND_K:
        if (after === 0) return false;
        break;
      case JUMP:
        if (k >= after) return false;
        break;
      default:
        return false;
    }
  }
  return true;
}

/** The program as an array of struct sock_filter. */
export function assemble(program: readonly Instruction[]): Uint8Array {
  const bytes = new Uint8Array(program.length * SIZE);
  const view = new DataView(bytes.buffer);
  program.forEach(([code, jt, jf, k], index) => {
    const at = index * SIZE;
    view.setUint16(at, code, true);
    view.setUint8(at + 2, jt);
    view.setUint8(at + 3, jf);
    view.setUint32(at + 4, k, true);
  });
  return bytes;
}
