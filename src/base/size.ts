const UNITS: Readonly<Record<string, number>> = { "": 0, b: 0, k: 10, m: 20, g: 30, t: 40 };

/** Bytes of a size such as 1048576, 64M, 1g or 1.5GiB; undefined if it is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * 2 ** (UNITS[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}
