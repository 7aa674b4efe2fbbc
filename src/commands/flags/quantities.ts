/** Quantities for people. */

const SIZES = ["B", "KiB", "MiB", "GiB", "TiB"];

/** Bytes for people: 1.5 MiB. */
export function binarySize(bytes: number): string {
  const step = bytes < 1 ? 0 : Math.min(SIZES.length - 1, Math.floor(Math.log2(bytes) / 10));
  const value = bytes / 2 ** (10 * step);
  return `${Number.isInteger(value) ? value : value.toFixed(1)} ${SIZES[step]}`;
}

/** Nanoseconds for people: 1.25 s. */
export function seconds(nanoseconds: number): string {
  return `${(nanoseconds / 1e9).toFixed(2)} s`;
}
