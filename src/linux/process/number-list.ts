/** The numbers of a list such as "0-3,7" in order (cpuset(7), "List format"); undefined if it is none. */
export function parseNumberList(text: string, most = 8191): number[] | undefined {
  const numbers = new Set<number>();
  for (const part of text.split(",")) {
    const match = /^\s*(\d{1,5})(?:-(\d{1,5}))?\s*$/.exec(part);
    if (match === null) return undefined;
    const [first, last] = [Number(match[1]), Number(match[2] ?? match[1])];
    if (first > last || last > most) return undefined;
    for (let number = first; number <= last; number++) numbers.add(number);
  }
  return [...numbers].sort((a, b) => a - b);
}

/** A bit mask of them, in 64-bit words. */
export function bitMask(numbers: readonly number[]): BigUint64Array {
  const mask = new BigUint64Array((Math.max(0, ...numbers) >> 6) + 1);
  for (const number of numbers) mask[number >> 6] = (mask[number >> 6] ?? 0n) | (1n << BigInt(number & 63));
  return mask;
}
