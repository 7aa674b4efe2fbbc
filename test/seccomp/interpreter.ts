// Runs a seccomp filter on one call, as the kernel would (filter.rst, linux/bpf_common.h).

export interface Call {
  nr: number;
  arch: number;
  args?: readonly bigint[];
}

/** The filter's answer, and how many instructions it took. */
export function run(program: Uint8Array, { nr, arch, args = [] }: Call): { answer: number; steps: number } {
  const data = new DataView(new ArrayBuffer(64));
  data.setUint32(0, nr >>> 0, true);
  data.setUint32(4, arch, true);
  args.forEach((value, index) => {
    data.setBigUint64(16 + 8 * index, BigInt.asUintN(64, value), true);
  });
  const words = new Uint32Array(
    program.buffer.slice(program.byteOffset, program.byteOffset + program.byteLength),
  );
  return execute(words, data);
}

function execute(words: Uint32Array, data: DataView): { answer: number; steps: number } {
  let accumulator = 0;
  let steps = 0;
  for (let at = 0; ; at++) {
    steps++;
    const first = words[2 * at] ?? 0;
    const k = words[2 * at + 1] ?? 0;
    const code = first & 0xffff;
    let holds: boolean;
    if (code === 0x15) holds = accumulator === k;
    else if (code === 0x25) holds = accumulator > k;
    else if (code === 0x35) holds = accumulator >= k;
    else if (code === 0x45) holds = (accumulator & k) !== 0;
    else if (code === 0x20) {
      accumulator = data.getUint32(k, true);
      continue;
    } else if (code === 0x54) {
      accumulator = (accumulator & k) >>> 0;
      continue;
    } else if (code === 0x05) {
      at += k;
      continue;
    } else if (code === 0x06) return { answer: k, steps };
    else throw new Error(`instruction ${at}: code 0x${code.toString(16)}`);
    at += holds ? (first >>> 16) & 0xff : first >>> 24;
  }
}

/** Whether a comparison is reached with different parts of the call loaded: then it can't mean all of them. */
export function comparesStale(program: Uint8Array): boolean {
  const words = new Uint32Array(
    program.buffer.slice(program.byteOffset, program.byteOffset + program.byteLength),
  );
  const length = words.length / 2;
  /** What may be loaded where: the load's constant, and that of an AND. */
  const loaded = Array.from({ length: length + 1 }, () => new Set<string>());
  for (let at = 0; at < length; at++) {
    const first = words[2 * at] ?? 0;
    const k = words[2 * at + 1] ?? 0;
    const [code, before] = [first & 0xffff, loaded[at] ?? new Set<string>()];
    const go = (to: number, what: Iterable<string>) => {
      for (const each of what) loaded[to]?.add(each);
    };
    if (code === 0x20) go(at + 1, [`${k}`]);
    else if (code === 0x54)
      go(
        at + 1,
        [...before].map((each) => `${each}&${k}`),
      );
    else if (code === 0x05) go(at + 1 + k, before);
    else if (code !== 0x06) {
      if (before.size > 1) return true;
      go(at + 1 + ((first >>> 16) & 0xff), before);
      go(at + 1 + (first >>> 24), before);
    }
  }
  return false;
}
