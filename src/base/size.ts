const UNITS: Readonly<Record<string, number>> = { "": 0, b: 0, k: 10, m: 20, g: 30, t: 40 };

/** The bytes of a size such as 1048576, 64M, 1g or 1.5GiB; undefined if the text is none. */
export function parseSize(text: string): number | undefined {
  const match = /^(\d+(?:\.\d+)?)([bkmgt]?)(?:i?b)?$/i.exec(text);
  if (match === null) return undefined;
  const bytes = Math.round(Number(match[1]) * 2 ** (UNITS[(match[2] ?? "").toLowerCase()] ?? Number.NaN));
  return Number.isSafeInteger(bytes) ? bytes : undefined;
}

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes for people: 1.5 MiB. */
export function binarySize(bytes: number): string {
  const step = bytes < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * step);
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${SIZES[step]}`;
}

const UNIT_LETTERS = ["", "K", "M", "G", "T"];

/** A limit as `parseSize` reads it: 64M, or 1536M for 1.5G; what is no whole number of a unit has a smaller one. */
export function sizeText(bytes: number): string {
  const step = UNIT_LETTERS.findLastIndex((_, power) => bytes > 0 && bytes % 2 ** (10 * power) === 0);
  return `${bytes / 2 ** (10 * Math.max(0, step))}${UNIT_LETTERS[step] ?? ""}`;
}
