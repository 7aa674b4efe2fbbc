const LEVELS = "▁▂▃▄▅▆▇█";

/** Numbers as a row of bars, the last ones on the right; `most` is the highest bar. */
export function sparkline(values: readonly number[], width: number, most: number): string {
  const shown = values.slice(-width).map((value) => {
    const level = most <= 0 ? 0 : Math.floor((value / most) * LEVELS.length);
    return value <= 0 ? " " : (LEVELS[Math.min(LEVELS.length - 1, level)] ?? " ");
  });
  return shown.join("").padStart(width);
}

/** A part of a whole, from 0 to 1, as a bar. */
export function bar(part: number, width: number): string {
  const full = Math.round(Math.min(1, Math.max(0, part)) * width);
  return "█".repeat(full) + "░".repeat(width - full);
}

/** Cuts a text to a width, and says so. */
export function cut(text: string, width: number): string {
  return text.length <= width ? text : `${text.slice(0, Math.max(0, width - 1))}…`;
}
